import java.util.Base64;
import java.util.Scanner;
import javax.security.auth.x500.X500Principal;

/**
 * Names of X.500 as the JDK has them. Of "der BASE64" it prints the name in the
 * form of RFC 2253 and of "text BASE64" whether it is a name, each as a dot and base64.
 */
public class Names {
    public static void main(String[] args) throws Exception {
        Scanner in = new Scanner(System.in);
        while (in.hasNext()) {
            String kind = in.next();
            byte[] data = in.hasNext("-") ? new byte[0] : null;
            if (data != null) {
                in.next();
            } else {
                data = Base64.getDecoder().decode(in.next());
            }
            String answer;
            try {
                answer = kind.equals("der") ? new X500Principal(data).getName() : "true";
                if (kind.equals("text")) {
                    new X500Principal(new String(data, "UTF-8"));
                }
            } catch (IllegalArgumentException e) {
                answer = "false";
            }
            System.out.println("." + Base64.getEncoder().encodeToString(answer.getBytes("UTF-8")));
        }
    }
}
