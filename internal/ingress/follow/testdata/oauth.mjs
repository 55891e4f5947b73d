// An OAuth server (oidc-provider) with two clients: "pinned" authenticates with a certificate in its jwks_uri
// (self_signed_tls_client_auth), and "named" with any certificate of a trusted CA and its subject (tls_client_auth).
// Arguments: the path of oidc-provider, the port, the folder with server.pem and ca.pem, and the jwks_uri. SIGHUP reads
// ca.pem again. SIGUSR2 moves the clock of the server by 61 s, because it keeps a key set for at least a minute.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [, , library, port, folder, jwksURI] = process.argv;
const { Provider } = await import(library);

let ahead = 0;
const now = Date.now;
Date.now = () => now() + ahead;
process.on('SIGUSR2', () => { ahead += 61_000; });

const certificate = (ctx) => ctx.socket.getPeerX509Certificate();
const client = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
const provider = new Provider(`https://127.0.0.1:${port}`, {
  clients: [
    { ...client, client_id: 'pinned', token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks_uri: jwksURI },
    { ...client, client_id: 'named', token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=acme' },
  ],
  clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => certificate(ctx)?.toString(),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn'
        && certificate(ctx).subject === expected,
    },
  },
});

const read = (name) => readFileSync(`${folder}/${name}`);
const context = () => ({ key: read('server.pem'), cert: read('server.pem'), ca: read('ca.pem') });
const server = createServer({ ...context(), requestCert: true, rejectUnauthorized: false }, provider.callback());
process.on('SIGHUP', () => server.setSecureContext(context()));
server.listen(Number(port), '127.0.0.1');
