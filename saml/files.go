package saml

import (
	"fmt"
	"time"

	"gatehouse"
)

// Files reports what is wrong with the documents and the certificates that c
// names, by key: all that New would refuse. c has its EntityID.
func (c Config) Files(now time.Time) []gatehouse.Fault {
	files, err := c.providerFiles()
	var faults []gatehouse.Fault
	if err != nil {
		faults = append(faults, gatehouse.FaultOf("metadata_dir", gatehouse.Unreadable(c.MetadataDir, err)))
	}
	certs := map[string]error{"": nil} // what is wrong with each file of certificates
	vouch := func(key, file string) {
		if _, seen := certs[file]; seen {
			return
		}
		if _, certs[file] = gatehouse.ReadCertificates(file); certs[file] != nil {
			faults = append(faults, gatehouse.FaultOf(key, certs[file]))
		}
	}
	vouch("metadata_dir_cert_file", c.MetadataDirCertFile)
	all := awsProviders(nil)
	for i, f := range files {
		listed := i < len(c.ServiceProviders)
		at := fmt.Sprintf("service_providers[%d].", i)
		if listed {
			vouch(at+"metadata_cert_file", f.MetadataCertFile)
		}
		if f.MetadataFile == "" || certs[f.MetadataCertFile] != nil {
			continue // it is said already
		}
		key := "metadata_dir"
		if listed {
			key = at + "metadata_file"
		}
		if err := c.examine(all, f, now); err != nil {
			faults = append(faults, gatehouse.FaultOf(key, err))
		}
	}
	return faults
}

// examine adds the provider of a file to all, or says why that cannot be.
func (c Config) examine(all map[string]*Provider, f ServiceProvider, now time.Time) error {
	if _, err := gatehouse.ReadFile(f.MetadataFile, maxMetadata); err != nil {
		return err
	}
	sp, err := loadProvider(f, now)
	if err == nil {
		err = admit(all, sp, c.EntityID)
	}
	if err != nil {
		return &gatehouse.FileError{What: fmt.Sprintf("%s cannot be used: %v", f.MetadataFile, err), Err: err,
			Fix: "ask whoever runs the application for its metadata, or take it out"}
	}
	return nil
}
