// Package instructions says what the administrator of a receiving system has to do about a new certificate, product by
// product.
//
// It promises that the real fingerprint, serial number and subject are filled in, and that what it says of nginx,
// HAProxy and Apache works there: it is tested by running it. The other products are described as their makers'
// documents describe them.
package instructions

import (
	"fmt"
	"strings"
)

// A Certificate is the new one.
type Certificate struct {
	Generation int
	Subject    string // RFC 4514
	Serial     string // hexadecimal
	SHA256     string // hexadecimal
	SHA1       string // hexadecimal
}

// An Instruction is what to do at one kind of receiver.
type Instruction struct {
	Product string
	How     string
	// Snippets are of the product's configuration, each on its own: the first knows the very certificate, and a second
	// one, where there is one, knows its subject, which stays the same at every renewal.
	Snippets []string
}

// attribute takes one attribute of a distinguished name (RFC 4514) without escapes, which the names of tenants never
// need.
func attribute(dn, name string) string {
	for part := range strings.SplitSeq(dn, ",") {
		if n, value, ok := strings.Cut(part, "="); ok && n == name {
			return value
		}
	}
	return ""
}

// colons writes a number in hexadecimal as openssl does.
func colons(hex string) string {
	var b strings.Builder
	for i := 0; i+2 <= len(hex); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex[i : i+2]))
	}
	return b.String()
}

const add = "Add the new line beside the old one, and reload. Take the old line out when the old certificate has " +
	"expired. With the second way, by the subject, nothing is to be done at later renewals."

// For says what to do about a certificate.
func For(c Certificate) []Instruction {
	cn, sha1 := attribute(c.Subject, "CN"), strings.ToUpper(c.SHA1)
	return []Instruction{
		{"nginx", add, []string{
			fmt.Sprintf(`map $ssl_client_fingerprint $known {
    default 0;
    # the old certificate's line stays here for now
    %s 1;  # generation %d
}

# in the server block
if ($known = 0) { return 401; }`, c.SHA1, c.Generation),
			fmt.Sprintf(`map $ssl_client_s_dn $known {
    default 0;
    %q 1;
}

# in the server block
if ($known = 0) { return 401; }`, c.Subject),
		}},
		{"HAProxy", "Append the new fingerprint to the list, in the file and at run time, and keep the old one for now. " +
			"With the second way, by the subject, nothing is to be done at later renewals.", []string{
			fmt.Sprintf(`# the list, a fingerprint a line
echo %[1]s >> /etc/haproxy/accepted
# at run time
echo "add acl /etc/haproxy/accepted %[1]s" | socat stdio /run/haproxy/admin.sock

# in the frontend
http-request deny deny_status 401 unless { ssl_c_sha1,hex -m str -f /etc/haproxy/accepted }`, sha1),
			fmt.Sprintf(`# in the frontend
http-request deny deny_status 401 unless { ssl_c_s_dn(CN) -m str %s }`, cn),
		}},
		{"Apache httpd", add, []string{
			fmt.Sprintf(`SSLVerifyClient require
<Location "/">
  SSLRequire (%%{SSL_CLIENT_M_SERIAL} eq %q \
    or %%{SSL_CLIENT_M_SERIAL} eq "SERIAL OF THE OLD ONE")
</Location>`, strings.ToUpper(c.Serial)),
			fmt.Sprintf(`SSLVerifyClient require
<Location "/">
  SSLRequire (%%{SSL_CLIENT_S_DN_CN} eq %q)
</Location>`, cn),
		}},
		{"Envoy", "Envoy accepts any of the hashes: add the new one to the list.", []string{
			fmt.Sprintf(`validation_context:
  trusted_ca: { filename: /etc/envoy/ca.pem }
  verify_certificate_hash:
    - "HASH OF THE OLD ONE"
    - %q`, c.SHA256),
		}},
		{"Traefik", "Traefik trusts the CA, which stays the same: nothing to do. Where a middleware looks at the subject, " +
			"it stays the same too.", []string{
			fmt.Sprintf(`tls:
  options:
    default:
      clientAuth:
        caFiles: [/etc/traefik/ca.pem]
        clientAuthType: RequireAndVerifyClientCert
# subject: %s`, c.Subject),
		}},
		{"Caddy", "Caddy can trust single certificates: add the new file (PEM) to the list, and reload.", []string{
			fmt.Sprintf(`tls {
	client_auth {
		mode require_and_verify
		trust_pool file /etc/caddy/ca.pem
		verifier leaf file old.pem generation-%d.pem
	}
}`, c.Generation),
		}},
		{"Keycloak", "In the client's X.509 authenticator the subject is matched, which stays the same: nothing to do. " +
			"Where a certificate was uploaded, upload the new one under Credentials.",
			[]string{fmt.Sprintf("Subject DN: ^%s$", strings.ReplaceAll(c.Subject, ".", "\\."))}},
		{"Kong", "mtls-auth maps by the CA and a consumer's subject name: both stay the same. Where the consumer has the " +
			"certificate's own name, check that it is this one.", []string{fmt.Sprintf("curl -X POST "+
			"http://localhost:8001/consumers/CONSUMER/mtls-auth -d subject_name=%s", cn)}},
		{"Apigee", "Upload the certificate to the trust store that the virtual host refers to, under an alias of its own. " +
			"The old alias stays until the old certificate has expired.",
			[]string{fmt.Sprintf("alias: %s-generation-%d", cn, c.Generation)}},
		{"Azure API Management", "Under Certificates add the new one (.cer). In the policy, compare with a list of " +
			"thumbprints instead of one.",
			[]string{fmt.Sprintf(`<when condition="@(context.Request.Certificate == null || !new[] {
  &quot;THUMBPRINT OF THE OLD ONE&quot;, &quot;%s&quot; }.Contains(context.Request.Certificate.Thumbprint))">`, sha1)}},
		{"AWS API Gateway", "The trust store of the custom domain holds CAs: the CA stays the same, so nothing is to do. " +
			"Where a Lambda authorizer compares serial numbers, add the new one.",
			[]string{"serialNumber: " + colons(c.Serial)}},
		{"SAP Cloud Integration", "Under Monitor > Manage Security > User Roles or Certificate-to-User Mapping: add a " +
			"mapping with the new certificate (.cer) for the same user, and keep the old mapping until the old certificate " +
			"has expired.", []string{fmt.Sprintf("%s-generation-%d.cer", cn, c.Generation)}},
		{"IIS", "In oneToOneMappings add an entry with the certificate in base64, for the same user. With " +
			"manyToOneMappings by subject nothing is to do.",
			[]string{fmt.Sprintf(`<add enabled="true" userName="USER" password="…" certificate="BASE64 OF generation-%d.cer" />`,
				c.Generation)}},
	}
}
