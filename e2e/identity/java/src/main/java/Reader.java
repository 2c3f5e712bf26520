import io.spiffe.bundle.jwtbundle.JwtBundle;
import io.spiffe.bundle.x509bundle.X509Bundle;
import io.spiffe.spiffeid.TrustDomain;
import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.svid.x509svid.X509SvidValidator;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/** Reads a directory of documents, and says of each in a line what it makes of it: the name, and the answer. */
public final class Reader {
    private interface Reading {
        Object read() throws Exception;
    }

    private static void say(String name, Reading reading) {
        try {
            System.out.println(name + "\t" + reading.read());
        } catch (Exception e) {
            System.out.println(name + "\trefused");
            System.err.println(name + ": " + e);
        }
    }

    public static void main(String[] args) throws Exception {
        Path dir = Path.of(args[0]);
        TrustDomain acme = TrustDomain.parse("acme.example");
        say("roots.pem", () -> X509Bundle.load(acme, dir.resolve("roots.pem")).getX509Authorities().size());
        say("roots.der", () -> X509Bundle.parse(acme, Files.readAllBytes(dir.resolve("roots.der"))).getX509Authorities().size());
        say("svid", () -> X509Svid.load(dir.resolve("svid.pem"), dir.resolve("key.pem")).getSpiffeId());
        say("svid by its roots", () -> {
            X509Bundle roots = X509Bundle.load(acme, dir.resolve("roots.pem"));
            X509Svid svid = X509Svid.load(dir.resolve("svid.pem"), dir.resolve("key.pem"));
            X509SvidValidator.verifyChain(svid.getChain(), roots);
            return "ok";
        });
        say("jwks.json", () -> JwtBundle.load(acme, dir.resolve("jwks.json")).getJwtAuthorities().size());
        say("bundle.json", () -> JwtBundle.load(acme, dir.resolve("bundle.json")).getJwtAuthorities().size());
        for (String token : List.of("good", "another audience", "expired", "unknown key", "not ours")) {
            say(token, () -> JwtSvid.parseAndValidate(Files.readString(dir.resolve(token + ".jwt")),
                JwtBundle.load(acme, dir.resolve("jwks.json")), Set.of("acme.example")).getSpiffeId());
        }
    }
}
