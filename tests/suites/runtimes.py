"""Programs that compile at run time, collect garbage behind write barriers, or sandbox their own
processes. Each works through the corpus and prints what it found."""

from __future__ import annotations

from place import Package, Place, as_user

JAVA = """
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.MessageDigest;
import java.util.*;

public class Suite {
  public static void main(String[] arguments) throws Exception {
    byte[] bytes = Files.readAllBytes(Path.of(arguments[0]));
    String text = new String(bytes, StandardCharsets.ISO_8859_1);
    for (int round = 0; round < 2; round++) {
      TreeMap<String, ArrayList<Integer>> places = new TreeMap<>();
      int number = 0;
      for (String line : text.substring(round * 1000, 6_000_000).split("\\n")) {
        number++;
        for (String word : line.split("[^A-Za-z0-9]+"))
          places.computeIfAbsent(word, key -> new ArrayList<>()).add(number);
      }
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (Map.Entry<String, ArrayList<Integer>> entry : places.entrySet())
        digest.update((entry.getKey() + entry.getValue()).getBytes());
      System.out.println(places.size() + " " + HexFormat.of().formatHex(digest.digest()));
    }
  }
}
"""

LISP = """
(defun words (line)
  (let ((found nil) (start nil))
    (dotimes (i (length line))
      (if (alphanumericp (char line i))
          (unless start (setf start i))
          (when start (push (subseq line start i) found) (setf start nil))))
    (when start (push (subseq line start) found))
    found))
(defun mix (sum n) (mod (+ (* sum 1000003) n) 2305843009213693951))
(dotimes (turn 3)
  (let ((places (make-hash-table :test 'equal)) (number 0))
    (with-open-file (in "{corpus}" :external-format :latin-1)
      (loop for line = (read-line in nil) while (and line (< number 60000))
            do (incf number)
               (dolist (word (words line)) (push number (gethash word places)))))
    (let ((names (sort (loop for name being the hash-keys of places collect name) #'string<))
          (sum turn))
      (dolist (name names)
        (loop for c across name do (setf sum (mix sum (char-code c))))
        (dolist (n (gethash name places)) (setf sum (mix sum n))))
      (format t "~a ~a~%" (length names) sum))))
"""

PAGE = """<!doctype html><title>suite</title><p id=out>not yet</p><script>
const places = new Map();
let seed = 7;
function next() {{ seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff; return seed; }}
for (let i = 0; i < 400000; i++) {{
  const name = 'w' + (next() % 60000);
  if (!places.has(name)) places.set(name, []);
  places.get(name).push({{ at: i, text: name + '-' + (i % 977) }});
}}
let sum = 0;
for (const name of [...places.keys()].sort())
  for (const one of places.get(name))
    sum = (Math.imul(sum, 31) + one.at + one.text.length) | 0;
for (let i = 0; i < 3000; i++) {{
  const row = document.createElement('div');
  row.textContent = 'row ' + next();
  document.body.appendChild(row);
}}
document.getElementById('out').textContent = places.size + ' ' + sum;
</script>
"""


def configure_java(place: Place, _: int) -> None:
    place.write("Suite.java", JAVA)


def configure_sbcl(place: Place, _: int) -> None:
    place.write("suite.lisp", LISP.format(corpus=place.corpus))


def configure_chromium(place: Place, _: int) -> None:
    place.write("page.html", PAGE.format())
    profile = place.folder / "profile"
    profile.mkdir(exist_ok=True)
    profile.chmod(0o777)


def chromium_command(place: Place) -> list[str]:
    """As an ordinary user, so that its own sandbox is on."""
    command = [
        *("chromium", "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *(f"--user-data-dir={place.folder}/profile", "--virtual-time-budget=20000", "--dump-dom"),
        f"file://{place.folder}/page.html",
    ]
    return as_user("nobody", "nogroup", command)


RUNTIMES: dict[str, Package] = {
    "java": Package(
        ("openjdk-17-jdk-headless",),
        lambda place: [
            *("java", "-Xmx160m", str(place.folder / "Suite.java"), str(place.corpus)),
        ],
        configure_java,
    ),
    "sbcl": Package(
        ("sbcl",),
        lambda place: [
            *("sbcl", "--dynamic-space-size", "512MB", "--script"),
            str(place.folder / "suite.lisp"),
        ],
        configure_sbcl,
    ),
    "chromium": Package(
        ("chromium",),
        chromium_command,
        configure_chromium,
        environment={"HOME": "/var/tmp", "XDG_RUNTIME_DIR": "/var/tmp"},
    ),
}
