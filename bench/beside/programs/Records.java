import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.zip.CRC32;

/** Records as maps of strings: parsed from text, visited in random order, some of them replaced. */
public class Records {
  static List<Map<String, String>> parse(String text) {
    List<Map<String, String>> records = new ArrayList<>();
    for (String paragraph : text.split("\n\n")) {
      Map<String, String> record = new HashMap<>();
      int number = 0;
      for (String line : paragraph.split("\n")) {
        int at = line.indexOf(": ");
        if (at > 0 && at < 24) {
          record.put(line.substring(0, at), line.substring(at + 2));
        } else {
          record.put("line " + number++, line);
        }
      }
      records.add(record);
    }
    return records;
  }

  public static void main(String[] arguments) throws Exception {
    byte[] bytes = Files.readAllBytes(Path.of(arguments[0]));
    List<Map<String, String>> records = parse(new String(bytes, StandardCharsets.ISO_8859_1));
    bytes = null;
    Random random = new Random(20130214);
    CRC32 seen = new CRC32();
    for (int turn = 0; turn < Integer.parseInt(arguments[1]); ++turn) {
      for (int i = 0; i < records.size(); ++i) {
        int number = random.nextInt(records.size());
        Map<String, String> record = records.get(number);
        for (int line = 0; record.get("line " + line) != null; ++line) {
          seen.update(record.get("line " + line).getBytes(StandardCharsets.ISO_8859_1));
        }
        if (random.nextInt(10) == 0) {
          Map<String, String> fresh = new HashMap<>(record);
          fresh.put("seen", "in round " + turn);
          records.set(number, fresh);
        }
      }
    }
    System.out.println(records.size() + " records, digest " + Long.toHexString(seen.getValue()));
  }
}
