import java.io.BufferedReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Holds package descriptions as maps, as a Java service that caches JSON would. */
public class Hold {
  public static void main(String[] arguments) throws Exception {
    Pattern field = Pattern.compile("\"([^\"]+)\": \"((?:[^\"\\\\]|\\\\.)*+)\"");
    Map<String, Map<String, String>> held = new HashMap<>();
    for (int copy = 0; copy < Integer.parseInt(arguments[1]); ++copy) {
      try (BufferedReader lines = Files.newBufferedReader(Path.of(arguments[0]))) {
        int number = 0;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
          Map<String, String> record = new HashMap<>();
          Matcher matcher = field.matcher(line);
          while (matcher.find()) {
            record.put(matcher.group(1), matcher.group(2));
          }
          held.put(copy + ":" + number++, record);
        }
      }
    }
    System.out.println("ready");
    System.in.read();
    System.out.println(held.size());
  }
}
