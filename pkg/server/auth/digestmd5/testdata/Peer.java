import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.Scanner;
import javax.security.auth.callback.*;
import javax.security.sasl.*;

/**
 * One side of a DIGEST-MD5 conversation as the JDK speaks it: Peer client|server
 * SERVICE HOST USER PASSWORD. Messages come and go as lines of base64; "done"
 * and "failed" end it.
 */
public class Peer {
    public static void main(String[] args) throws Exception {
        CallbackHandler handler = callbacks -> {
            for (Callback c : callbacks) {
                if (c instanceof NameCallback n) {
                    n.setName(n.getDefaultName() == null ? args[3] : n.getDefaultName());
                } else if (c instanceof PasswordCallback p) {
                    p.setPassword(args[4].toCharArray());
                } else if (c instanceof RealmCallback r) {
                    r.setText(r.getDefaultText());
                } else if (c instanceof AuthorizeCallback a) {
                    a.setAuthorized(true);
                }
            }
        };
        Map<String, String> props = new HashMap<>();
        SaslClient client = null;
        SaslServer server = null;
        if (args[0].equals("client")) {
            client = Sasl.createSaslClient(new String[] {"DIGEST-MD5"}, args[3], args[1], args[2], props, handler);
        } else {
            server = Sasl.createSaslServer("DIGEST-MD5", args[1], args[2], props, handler);
        }
        Scanner in = new Scanner(System.in);
        while (in.hasNextLine()) {
            byte[] message = Base64.getDecoder().decode(in.nextLine());
            byte[] answer;
            try {
                answer = client != null ? client.evaluateChallenge(message) : server.evaluateResponse(message);
            } catch (SaslException e) {
                System.out.println("failed");
                return;
            }
            boolean complete = client != null ? client.isComplete() : server.isComplete();
            System.out.println((answer == null ? "" : Base64.getEncoder().encodeToString(answer)) + (complete ? " done" : " more"));
        }
    }
}
