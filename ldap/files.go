package ldap

import "gatehouse"

// Files reports what is wrong with the certificate files that c names, by key.
func (c Config) Files() []gatehouse.Fault {
	var faults []gatehouse.Fault
	if c.CAFile != "" {
		if _, err := gatehouse.ReadCertificates(c.CAFile); err != nil {
			faults = append(faults, gatehouse.FaultOf("ca_file", err))
		}
	}
	if c.CertFile != "" && c.KeyFile != "" {
		faults = append(faults, gatehouse.KeyPairFaults(c.CertFile, c.KeyFile)...)
	}
	return faults
}
