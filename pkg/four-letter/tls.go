package fourletter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/certname"
)

// tlsAdvice says what to try after a failed handshake; "" for other failures.
func tlsAdvice(host, port string, err error) string {
	var header tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	switch {
	case errors.As(err, &header):
		return fmt.Sprintf("port %s speaks no TLS: name the secure client port, or leave TLS out", port)
	case errors.As(err, &unknown):
		return "name the authority that signed the server's certificate with --tls-ca FILE"
	case errors.Is(err, certname.ErrOtherHost):
		return fmt.Sprintf("ask %s by a name in its certificate, or give that name with --tls-server-name NAME", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("renew the certificate of the server on %s, and compare the clocks", host)
	case errors.As(err, &alert), strings.Contains(err.Error(), "remote error: tls:"):
		return fmt.Sprintf("the server on %s wants a certificate that its ssl.trustStore trusts: name one with --tls-cert FILE and --tls-key FILE", host)
	}
	return ""
}
