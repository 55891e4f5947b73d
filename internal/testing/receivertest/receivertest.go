// Package receivertest renews certificates against the servers that receivers really run: nginx, HAProxy and Apache
// httpd, and a receiver in Go for what those cannot do. It has tests only.
package receivertest
