package gatehouse

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// FileError is a file that a configuration names and that cannot be used.
type FileError struct {
	What string // "cannot be read: stat /etc/gatehouse/ca.pem: no such file or directory"
	Fix  string // what to do about it; may be empty
	Err  error  // what the system said; may be nil
}

func (e *FileError) Error() string { return e.What }

// Unwrap is what the system said.
func (e *FileError) Unwrap() error { return e.Err }

// FaultOf is err as the fault of a key; of a FileError it has the fix.
func FaultOf(key string, err error) Fault {
	f := Fault{Key: key, What: err.Error()}
	if file := (*FileError)(nil); errors.As(err, &file) {
		f.Fix = file.Fix
	}
	return f
}

// Unreadable is the FileError of a file or folder that the system does not
// let us have.
func Unreadable(path string, err error) *FileError {
	e := &FileError{What: fmt.Sprintf("cannot be read: %v", err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Fix = "put it there, or correct the path"
	case errors.Is(err, fs.ErrPermission):
		e.Fix = "let the user that runs gatehouse read " + path + " and the folders above it: chgrp gatehouse, chmod 640"
	}
	return e
}

// ReadFile reads a file that a configuration names, of at most that many
// bytes. A device or a FIFO, which might never end, is not one.
//
// Its error is a FileError.
func ReadFile(path string, most int64) ([]byte, error) { return readFile(path, most, false) }

// ReadSecret is ReadFile for a file that must not be empty, nor everybody's to
// read.
func ReadSecret(path string, most int64) ([]byte, error) { return readFile(path, most, true) }

func readFile(path string, most int64, secret bool) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, Unreadable(path, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, &FileError{What: path + " is not a file", Fix: "correct the path"}
	case secret && info.Mode().Perm()&0o007 != 0:
		return nil, &FileError{What: path + " is open to everybody on the machine", Fix: "chmod o-rwx " + path}
	case info.Size() > most:
		return nil, &FileError{What: fmt.Sprintf("%s is larger than %d bytes", path, most), Fix: "see whether it is the right file"}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, Unreadable(path, err)
	}
	if secret && len(bytes.TrimSpace(text)) == 0 {
		return nil, &FileError{What: path + " is empty"}
	}
	return text, nil
}

// largestPEM is larger than any bundle of certificates.
const largestPEM = 8 << 20

// ReadCertificates reads a PEM file that must hold a certificate, and nothing
// in place of one that is none.
//
// Its error is a FileError.
func ReadCertificates(path string) ([]byte, error) {
	text, err := ReadFile(path, largestPEM)
	if err != nil {
		return nil, err
	}
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		found++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, &FileError{What: fmt.Sprintf("%s: certificate %d of it cannot be read: %v", path, found, err), Fix: "take it out, or put the right one there"}
		}
	}
	if found == 0 {
		return nil, &FileError{What: path + " holds no PEM certificate", Fix: "put one there: it begins with -----BEGIN CERTIFICATE-----"}
	}
	return text, nil
}

// KeyPairFaults says what is wrong with the files of a certificate and of its
// key, under the keys cert_file and key_file. The key must not be everybody's
// to read.
func KeyPairFaults(certFile, keyFile string) []Fault {
	var faults []Fault
	cert, err := ReadCertificates(certFile)
	if err != nil {
		faults = append(faults, FaultOf("cert_file", err))
	}
	key, err := ReadSecret(keyFile, largestPEM)
	if err != nil {
		faults = append(faults, FaultOf("key_file", err))
	}
	if len(faults) > 0 {
		return faults
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return []Fault{{Key: "key_file", What: fmt.Sprintf("%s is no key for cert_file: %v", keyFile, err), Fix: "put a PEM certificate and its own key there, the leaf first"}}
	}
	return nil
}
