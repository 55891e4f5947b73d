import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsExchange;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/** A receiver on the JDK's HttpServer: java Receiver.java FOLDER NAME. Its files and paths are those of receiver.js. */
public class Receiver {
    static Path folder;
    static String name;

    public static void main(String[] args) throws Exception {
        folder = Path.of(args[0]);
        name = args[1];
        SSLContext context = context();
        HttpsServer server = HttpsServer.create(new InetSocketAddress("127.0.0.1", 0), 50);
        server.setHttpsConfigurator(new HttpsConfigurator(context) {
            @Override
            public void configure(HttpsParameters parameters) {
                SSLParameters p = context.getDefaultSSLParameters();
                p.setWantClientAuth(true);
                parameters.setSSLParameters(p);
            }
        });
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Receiver::serve);
        server.start();
        Path fresh = folder.resolve(name + ".new");
        Files.writeString(fresh, String.valueOf(server.getAddress().getPort()));
        Files.move(fresh, folder.resolve(name + ".port"), StandardCopyOption.ATOMIC_MOVE);
    }

    static byte[] block(String pem, String type) {
        String begin = "-----BEGIN " + type + "-----";
        int from = pem.indexOf(begin) + begin.length();
        return Base64.getMimeDecoder().decode(pem.substring(from, pem.indexOf("-----END " + type + "-----")));
    }

    static SSLContext context() throws Exception {
        String pem = Files.readString(folder.resolve("server.pem"));
        Certificate own = CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(block(pem, "CERTIFICATE")));
        PrivateKey key = KeyFactory.getInstance(own.getPublicKey().getAlgorithm())
                .generatePrivate(new PKCS8EncodedKeySpec(block(pem, "PRIVATE KEY")));
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setKeyEntry("server", key, new char[0], new Certificate[] {own});
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, new char[0]);
        TrustManager all = new X509TrustManager() {
            public void checkClientTrusted(X509Certificate[] chain, String type) {}

            public void checkServerTrusted(X509Certificate[] chain, String type) {}

            public X509Certificate[] getAcceptedIssuers() {
                return new X509Certificate[0];
            }
        };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), new TrustManager[] {all}, new SecureRandom());
        return context;
    }

    static boolean accepts(HttpExchange x, String slot) throws Exception {
        Certificate[] chain;
        try {
            chain = ((HttpsExchange) x).getSSLSession().getPeerCertificates();
        } catch (javax.net.ssl.SSLPeerUnverifiedException none) {
            return false;
        }
        String seen = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(chain[0].getEncoded()));
        return Files.readAllLines(folder.resolve(slot + ".accepted")).contains(seen);
    }

    static void serve(HttpExchange x) throws IOException {
        try {
            String[] parts = x.getRequestURI().getPath().split("/");
            if (parts.length < 3) {
                x.sendResponseHeaders(404, -1);
            } else if (accepts(x, parts[2])) {
                x.getRequestBody().transferTo(java.io.OutputStream.nullOutputStream());
                String key = x.getRequestHeaders().getFirst("Idempotency-Key");
                synchronized (Receiver.class) {
                    Files.writeString(folder.resolve(name + ".taken"), key + "\n", StandardOpenOption.CREATE,
                            StandardOpenOption.APPEND);
                }
                answer(x, 200, "accepted\n");
            } else if (!parts[1].equals("close")) {
                answer(x, Integer.parseInt(parts[1]), "unknown client certificate\n");
            }
        } catch (IOException e) {
            throw e;
        } catch (Exception e) {
            throw new IOException(e);
        } finally {
            x.close();
        }
    }

    static void answer(HttpExchange x, int status, String text) throws IOException {
        byte[] body = text.getBytes();
        x.getResponseHeaders().set("Content-Type", "text/plain");
        boolean empty = x.getRequestMethod().equals("HEAD");
        x.sendResponseHeaders(status, empty ? -1 : body.length);
        if (!empty) {
            x.getResponseBody().write(body);
        }
    }
}
