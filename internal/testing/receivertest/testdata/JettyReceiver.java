import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.alpn.server.ALPNServerConnectionFactory;
import org.eclipse.jetty.http2.server.HTTP2ServerConnectionFactory;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.server.handler.AbstractHandler;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

/**
 * A receiver on Jetty: java JettyReceiver.java FOLDER NAME. Its files and paths are those of receiver.js. It negotiates
 * HTTP/2 and HTTP/1.1.
 */
public class JettyReceiver extends AbstractHandler {
    static Path folder;
    static String name;

    public static void main(String[] args) throws Exception {
        folder = Path.of(args[0]);
        name = args[1];
        Server server = new Server(new QueuedThreadPool(64));
        SslContextFactory.Server tls = new SslContextFactory.Server();
        tls.setKeyStore(own());
        tls.setKeyStorePassword("");
        tls.setTrustStore(trusted());
        tls.setWantClientAuth(true);
        tls.setEndpointIdentificationAlgorithm(null);
        HttpConfiguration http = new HttpConfiguration();
        SecureRequestCustomizer secure = new SecureRequestCustomizer();
        secure.setSniHostCheck(false); // the endpoint is an IP address, for which a client sends no name
        http.addCustomizer(secure);
        HttpConnectionFactory http1 = new HttpConnectionFactory(http);
        ALPNServerConnectionFactory alpn = new ALPNServerConnectionFactory();
        alpn.setDefaultProtocol(http1.getProtocol());
        ServerConnector connector = new ServerConnector(server, new SslConnectionFactory(tls, alpn.getProtocol()), alpn,
                new HTTP2ServerConnectionFactory(http), http1);
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        server.setHandler(new JettyReceiver());
        server.start();
        Path fresh = folder.resolve(name + ".new");
        Files.writeString(fresh, String.valueOf(connector.getLocalPort()));
        Files.move(fresh, folder.resolve(name + ".port"), StandardCopyOption.ATOMIC_MOVE);
        server.join();
    }

    static byte[] block(String pem, String type) {
        String begin = "-----BEGIN " + type + "-----";
        int from = pem.indexOf(begin) + begin.length();
        return Base64.getMimeDecoder().decode(pem.substring(from, pem.indexOf("-----END " + type + "-----")));
    }

    static KeyStore own() throws Exception {
        String pem = Files.readString(folder.resolve("server.pem"));
        Certificate own = CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(block(pem, "CERTIFICATE")));
        PrivateKey key = KeyFactory.getInstance(own.getPublicKey().getAlgorithm())
                .generatePrivate(new PKCS8EncodedKeySpec(block(pem, "PRIVATE KEY")));
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setKeyEntry("server", key, new char[0], new Certificate[] {own});
        return store;
    }

    static KeyStore trusted() throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        int n = 0;
        byte[] pem = Files.readAllBytes(folder.resolve("ca.pem"));
        CertificateFactory certificates = CertificateFactory.getInstance("X.509");
        for (Certificate c : certificates.generateCertificates(new ByteArrayInputStream(pem))) {
            store.setCertificateEntry("ca" + n++, c);
        }
        return store;
    }

    static boolean accepts(HttpServletRequest r, String slot) throws IOException {
        X509Certificate[] chain = (X509Certificate[]) r.getAttribute("javax.servlet.request.X509Certificate");
        if (chain == null || chain.length == 0) {
            return false;
        }
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(chain[0].getEncoded());
            return Files.readAllLines(folder.resolve(slot + ".accepted")).contains(HexFormat.of().formatHex(digest));
        } catch (java.security.GeneralSecurityException e) {
            throw new IOException(e);
        }
    }

    @Override
    public void handle(String target, Request request, HttpServletRequest r, HttpServletResponse w) throws IOException {
        request.setHandled(true);
        String[] parts = target.split("/");
        if (parts.length < 3) {
            w.setStatus(404);
            return;
        }
        if (accepts(r, parts[2])) {
            r.getInputStream().transferTo(OutputStream.nullOutputStream());
            synchronized (JettyReceiver.class) {
                Files.writeString(folder.resolve(name + ".taken"), r.getHeader("Idempotency-Key") + "\n",
                        StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            }
            answer(w, 200, "text/plain", "accepted\n");
            return;
        }
        switch (parts[1]) {
            case "close": // the connection, or the stream of HTTP/2
                request.getHttpChannel().abort(new IOException("unknown client certificate"));
                break;
            case "login302":
                w.setHeader("Location", "/login");
                w.setStatus(302);
                break;
            case "soap500":
                answer(w, 500, "text/xml", "<Envelope><Body><Fault><faultcode>Client.Authentication</faultcode></Fault>"
                        + "</Body></Envelope>");
                break;
            default:
                answer(w, Integer.parseInt(parts[1]), "text/plain", "unknown client certificate\n");
        }
    }

    static void answer(HttpServletResponse w, int status, String type, String text) throws IOException {
        w.setStatus(status);
        w.setContentType(type);
        w.getOutputStream().write(text.getBytes());
    }
}
