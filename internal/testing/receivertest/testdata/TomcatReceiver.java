import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.HexFormat;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.coyote.http2.Http2Protocol;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;

/** A receiver on Tomcat with HTTP/2: java TomcatReceiver.java FOLDER NAME. Its files and paths are those of receiver.js. */
public class TomcatReceiver extends HttpServlet {
    static Path folder;
    static String name;

    public static void main(String[] args) throws Exception {
        folder = Path.of(args[0]).toAbsolutePath();
        name = args[1];
        java.util.logging.LogManager.getLogManager().reset();
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory(folder, "tomcat").toString());
        Connector connector = new Connector("HTTP/1.1");
        connector.setPort(0);
        connector.setProperty("address", "127.0.0.1");
        connector.setSecure(true);
        connector.setScheme("https");
        connector.setProperty("SSLEnabled", "true");
        connector.setProperty("clientAuth", "want");
        connector.setMaxPostSize(-1);
        connector.addUpgradeProtocol(new Http2Protocol());
        SSLHostConfig host = new SSLHostConfig();
        host.setCertificateVerification("optional");
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        int n = 0;
        byte[] pem = Files.readAllBytes(folder.resolve("ca.pem"));
        for (Certificate c : CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem))) {
            trusted.setCertificateEntry("ca" + n++, c);
        }
        host.setTrustStore(trusted);
        SSLHostConfigCertificate own = new SSLHostConfigCertificate(host, SSLHostConfigCertificate.Type.EC);
        own.setCertificateFile(folder.resolve("server.pem").toString());
        own.setCertificateKeyFile(folder.resolve("server.pem").toString());
        host.addCertificate(own);
        connector.addSslHostConfig(host);
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "receiver", new TomcatReceiver());
        context.addServletMappingDecoded("/*", "receiver");
        tomcat.start();
        Path fresh = folder.resolve(name + ".new");
        Files.writeString(fresh, String.valueOf(connector.getLocalPort()));
        Files.move(fresh, folder.resolve(name + ".port"), StandardCopyOption.ATOMIC_MOVE);
        tomcat.getServer().await();
    }

    static boolean accepts(HttpServletRequest r, String slot) throws Exception {
        X509Certificate[] chain = (X509Certificate[]) r.getAttribute("jakarta.servlet.request.X509Certificate");
        if (chain == null || chain.length == 0) {
            return false;
        }
        String seen = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(chain[0].getEncoded()));
        return Files.readAllLines(folder.resolve(slot + ".accepted")).contains(seen);
    }

    @Override
    protected void service(HttpServletRequest r, HttpServletResponse w) throws IOException {
        String[] parts = r.getRequestURI().split("/");
        try {
            if (parts.length < 3) {
                w.setStatus(404);
                return;
            }
            if (accepts(r, parts[2])) {
                r.getInputStream().transferTo(java.io.OutputStream.nullOutputStream());
                synchronized (TomcatReceiver.class) {
                    Files.writeString(folder.resolve(name + ".taken"), r.getHeader("Idempotency-Key") + "\n",
                            StandardOpenOption.CREATE, StandardOpenOption.APPEND);
                }
                answer(w, 200, "text/plain", "accepted\n");
                return;
            }
        } catch (IOException e) {
            throw e;
        } catch (Exception e) {
            throw new IOException(e);
        }
        switch (parts[1]) {
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
