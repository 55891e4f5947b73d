// Package instructions describes how the administrator of a receiving system installs a new certificate, for each
// product.
//
// It promises that the real fingerprint, serial number and subject are filled in. The instructions for nginx, HAProxy
// and Apache are tested by running them. Those for other products follow the documentation of their makers.
package instructions

import (
	"fmt"
	"strings"
)

// A Certificate is the new certificate.
type Certificate struct {
	Generation int
	Subject    string // RFC 4514
	Serial     string // hexadecimal
	SHA256     string // hexadecimal
	SHA1       string // hexadecimal
}

// An Instruction describes the installation in one product.
type Instruction struct {
	Product string
	How     string
	// Snippets are alternatives for the product's configuration. The first accepts exactly this certificate. The second,
	// if there is one, accepts its subject, which stays the same at every renewal.
	Snippets []string
}

// attribute returns one attribute of a distinguished name (RFC 4514). It does not support escapes, which names of
// tenants never need.
func attribute(dn, name string) string {
	for part := range strings.SplitSeq(dn, ",") {
		if n, value, ok := strings.Cut(part, "="); ok && n == name {
			return value
		}
	}
	return ""
}

// colons formats a hexadecimal number as openssl does.
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

const add = "Add the new line next to the old one and reload. Remove the old line when the old certificate has " +
	"expired. With the second variant, which checks the subject, later renewals need no change."

// For returns the instructions for a certificate.
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
			"With the second variant, which checks the subject, later renewals need no change.", []string{
			fmt.Sprintf(`# the list, one fingerprint per line
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
		{"Envoy", "Envoy accepts any of the hashes. Add the new one to the list.", []string{
			fmt.Sprintf(`validation_context:
  trusted_ca: { filename: /etc/envoy/ca.pem }
  verify_certificate_hash:
    - "HASH OF THE OLD ONE"
    - %q`, c.SHA256),
		}},
		{"Traefik", "Nothing to do: Traefik trusts the CA, which stays the same. If a middleware checks the subject, that " +
			"stays the same, too.", []string{
			fmt.Sprintf(`tls:
  options:
    default:
      clientAuth:
        caFiles: [/etc/traefik/ca.pem]
        clientAuthType: RequireAndVerifyClientCert
# subject: %s`, c.Subject),
		}},
		{"Caddy", "Caddy can trust single certificates. Add the new file (PEM) to the list and reload.", []string{
			fmt.Sprintf(`tls {
	client_auth {
		mode require_and_verify
		trust_pool file /etc/caddy/ca.pem
		verifier leaf file old.pem generation-%d.pem
	}
}`, c.Generation),
		}},
		{"Keycloak", "Nothing to do if the client's X.509 authenticator matches the subject, which stays the same. " +
			"If a certificate was uploaded, upload the new one under Credentials.",
			[]string{fmt.Sprintf("Subject DN: ^%s$", strings.ReplaceAll(c.Subject, ".", "\\."))}},
		{"Kong", "mtls-auth maps by the CA and by a consumer's subject name. Both stay the same. Check that the subject " +
			"name of the consumer is this one.", []string{fmt.Sprintf("curl -X POST "+
			"http://localhost:8001/consumers/CONSUMER/mtls-auth -d subject_name=%s", cn)}},
		{"Apigee", "Upload the certificate under a new alias to the trust store that the virtual host refers to. Keep the " +
			"old alias until the old certificate has expired.",
			[]string{fmt.Sprintf("alias: %s-generation-%d", cn, c.Generation)}},
		{"Azure API Management", "Add the new certificate (.cer) under Certificates. In the policy, compare with a " +
			"list of thumbprints.",
			[]string{fmt.Sprintf(`<when condition="@(context.Request.Certificate == null || !new[] {
  &quot;THUMBPRINT OF THE OLD ONE&quot;, &quot;%s&quot; }.Contains(context.Request.Certificate.Thumbprint))">`, sha1)}},
		{"AWS API Gateway", "Nothing to do for the custom domain: its trust store holds CAs, and the CA stays the same. " +
			"If a Lambda authorizer compares serial numbers, add the new one.",
			[]string{"serialNumber: " + colons(c.Serial)}},
		{"SAP Cloud Integration", "Under Monitor > Manage Security > User Roles or Certificate-to-User Mapping, add a " +
			"mapping of the new certificate (.cer) to the same user. Keep the old mapping until the old certificate has " +
			"expired.", []string{fmt.Sprintf("%s-generation-%d.cer", cn, c.Generation)}},
		{"IIS", "In oneToOneMappings, add an entry with the certificate in base64 for the same user. Nothing to do with " +
			"manyToOneMappings by subject.",
			[]string{fmt.Sprintf(`<add enabled="true" userName="USER" password="…" certificate="BASE64 OF generation-%d.cer" />`,
				c.Generation)}},
	}
}
