// A receiver on Node.js: node receiver.js FOLDER NAME (https | http2). It writes its port to FOLDER/NAME.port, reads the
// fingerprints that it accepts from FOLDER/SLOT.accepted, and appends the keys of accepted messages to FOLDER/NAME.taken.
// The path of a request is /WAY/SLOT/...: WAY is how it refuses.
const fs = require('fs'), path = require('path'), crypto = require('crypto');
const [folder, name, version] = process.argv.slice(2);
const pem = fs.readFileSync(path.join(folder, 'server.pem'));
const options = { cert: pem, key: pem, requestCert: true, rejectUnauthorized: false };

function accepts(socket, slot) {
  const certificate = socket.getPeerCertificate();
  if (!certificate || !certificate.raw) return false;
  const seen = crypto.createHash('sha256').update(certificate.raw).digest('hex');
  return fs.readFileSync(path.join(folder, slot + '.accepted'), 'utf8').split('\n').includes(seen);
}

const login = '<html><title>Sign in</title><form method="post"><input type="password" name="p"></form></html>';

function refuse(way, request, response) {
  switch (way) {
    case 'close':
      return response.stream ? response.stream.session.destroy() : request.socket.destroy();
    case 'reset':
      return response.stream.close(require('http2').constants.NGHTTP2_CANCEL);
    case 'login302':
      response.writeHead(302, { location: '/login' });
      return response.end();
    case 'login200':
      response.writeHead(200, { 'content-type': 'text/html' });
      return response.end(login);
    default:
      response.writeHead(Number(way), { 'content-type': 'text/plain' });
      response.end('unknown client certificate\n');
  }
}

function serve(request, response) {
  const [, way, slot] = request.url.split('/');
  if (!slot) { response.writeHead(404); response.end(); return; }
  if (!accepts(request.socket, slot)) return refuse(way, request, response);
  request.on('error', () => {});
  request.resume();
  request.on('end', () => {
    fs.appendFileSync(path.join(folder, name + '.taken'), (request.headers['idempotency-key'] || '') + '\n');
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.end('accepted\n');
  });
}

const server = version === 'http2' ? require('http2').createSecureServer(options, serve)
  : require('https').createServer(options, serve);
server.on('tlsClientError', () => {});
server.on('sessionError', () => {});
server.listen(0, '127.0.0.1', () => {
  fs.writeFileSync(path.join(folder, name + '.new'), String(server.address().port));
  fs.renameSync(path.join(folder, name + '.new'), path.join(folder, name + '.port'));
});
