package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// explain adds to a failed handshake what an operator can do about it.
func (k *Keys) explain(err error) error {
	if do := k.remedy(err); do != "" {
		return fmt.Errorf("TLS handshake: %w (%s)", err, do)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

func (k *Keys) remedy(err error) string {
	var header tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	prefix := k.opts.Prefix
	switch {
	case errors.As(err, &header):
		return "the other end speaks no TLS: is it configured for the plain port?"
	case errors.As(err, &unknown):
		return "add the authority that signed it to " + prefix + "trustStore.location, if it is to be trusted"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "give the other end a new certificate, and compare the clocks"
	case strings.Contains(err.Error(), "didn't provide a certificate"):
		return "give the client a certificate, or set " + prefix + "clientAuth=want or none"
	case strings.Contains(err.Error(), "remote error: tls: unknown certificate authority"):
		return "the other end does not trust the authority of this server's certificate"
	case strings.Contains(err.Error(), "remote error: tls: bad certificate"), strings.Contains(err.Error(), "remote error: tls: unknown certificate"):
		return "the other end does not take this server's certificate: its log says why"
	case strings.Contains(err.Error(), "no cipher suite supported"):
		return "both ends need a cipher suite in common, see " + prefix + "ciphersuites"
	case strings.Contains(err.Error(), "offered only unsupported versions"), strings.Contains(err.Error(), "protocol version not supported"):
		return "both ends need a version of TLS in common, see " + prefix + "enabledProtocols"
	}
	return ""
}
