// Package receivertest renews certificates against the servers that receivers really run: nginx, HAProxy, Apache httpd,
// Caddy, lighttpd and stunnel, programs on Node.js, Python, gunicorn and Java (the JDK's HttpServer, Tomcat and Jetty),
// and a receiver in Go for every other form of refusal. It has tests only.
//
// It promises to end every process that it starts, and to send each message at a known step: a failure names the step.
package receivertest
