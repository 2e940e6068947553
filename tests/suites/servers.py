"""Servers: what each is configured to do, and what its clients ask."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import web
from place import Package, Place, as_user, tool

def generation_page(place: Place) -> str:
    return web.text_of(place, "/generation")


# --- proxies -----------------------------------------------------------------------------------

NGINX = """
daemon off; user nobody nogroup; worker_processes 2; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off; gzip on; gzip_min_length 100; gzip_types text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port}; root {folder}; client_max_body_size 16m;
    location = /generation {{ return 200 "{generation}"; }}
    location /echo {{
      client_body_buffer_size 4m; client_body_in_single_buffer on;
      proxy_pass http://127.0.0.1:{upstream};
    }}
  }}
}}
"""


def upstream_port(place: Place) -> int:
    return place.port + 1 if place.port < 65535 else place.port - 1


def configure_nginx(place: Place, generation: int) -> None:
    place.write(
        "nginx.conf",
        NGINX.format(
            folder=place.folder,
            port=place.port,
            upstream=upstream_port(place),
            generation=generation,
        ),
    )


def use_proxy(place: Place) -> str:
    with web.upstream(upstream_port(place)):
        return "\n".join(web.slow_posts(place, "/echo", 10, 2_000_000) for _ in range(2))


def use_nginx(place: Place) -> str:
    files = web.at_once(lambda _: web.answer(place, "/corpus.txt"), 4)
    return files + "\n" + use_proxy(place)


HAPROXY = """
global
  chroot {folder}/empty
  user nobody
  group nogroup
  tune.bufsize 2200000
defaults
  mode http
  timeout connect 20s
  timeout client 120s
  timeout server 120s
frontend web
  bind 127.0.0.1:{port}
  option http-buffer-request
  acl asked path /generation
  http-request return status 200 content-type text/plain string "{generation}" if asked
  default_backend echo
backend echo
  server one 127.0.0.1:{upstream}
"""


def configure_haproxy(place: Place, generation: int) -> None:
    (place.folder / "empty").mkdir(exist_ok=True)
    text = HAPROXY.format(
        folder=place.folder,
        port=place.port,
        upstream=upstream_port(place),
        generation=generation,
    )
    place.write("haproxy.cfg", text)


# --- servers that fork before they serve ---------------------------------------------------------

# Each request keeps many lines, works on some of them, and looks at all of them once more.
PHP_PAGE = """<?php
$part = (int) $_GET['part'];
$text = file_get_contents(__DIR__ . '/corpus.txt', false, null, $part * 1000000, 4000000);
$lines = explode("\\n", $text);
unset($text);
$count = [];
for ($number = 0; $number < 4000; $number++)
  foreach (preg_split('/[^A-Za-z0-9]+/', $lines[$number], -1, PREG_SPLIT_NO_EMPTY) as $word)
    $count[$word][] = $number;
ksort($count);
$sum = '';
foreach ($count as $word => $numbers) $sum = md5($sum . $word . implode(',', $numbers));
foreach ($lines as $line) $sum = md5($sum . $line);
echo count($count), ' ', count($lines), ' ', $sum;
"""
PHP_FPM = """
[global]
pid = {folder}/pid
error_log = {folder}/php.log
daemonize = no
[www]
user = nobody
group = nogroup
listen = 127.0.0.1:{port}
pm = static
pm.max_children = 4
env[GENERATION] = {generation}
php_admin_value[memory_limit] = 256M
"""


def configure_php(place: Place, generation: int) -> None:
    place.write("page.php", PHP_PAGE)
    text = PHP_FPM.format(folder=place.folder, port=place.port, generation=generation)
    place.write("php-fpm.conf", text)
    place.write("generation.php", "<?php echo getenv('GENERATION');")


def fastcgi(place: Place, script: str, query: str = "") -> str:
    variables = {
        "SCRIPT_FILENAME": str(place.folder / script),
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": query,
        "PATH": os.environ["PATH"],
    }
    address = f"127.0.0.1:{place.port}"
    reply = tool(["cgi-fcgi", "-bind", "-connect", address], environment=variables)
    return reply.replace("\r", "").partition("\n\n")[2]


def use_php(place: Place) -> str:
    return web.at_once(lambda part: fastcgi(place, "page.php", f"part={part % 6}"), 8, clients=4)


APACHE = """
ServerRoot {folder}
PidFile {folder}/pid
Mutex file:{folder}
Listen 127.0.0.1:{port}
ServerName localhost
User nobody
Group nogroup
ErrorLog {folder}/error.log
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule php_module /usr/lib/apache2/modules/libphp8.2.so
TypesConfig /etc/mime.types
AddHandler application/x-httpd-php .php
php_admin_value memory_limit 256M
StartServers 4
MinSpareServers 4
MaxSpareServers 4
MaxRequestWorkers 4
DocumentRoot {folder}
Alias /generation {folder}/generation-{generation}.txt
<Directory {folder}>
  Require all granted
</Directory>
"""


def configure_apache(place: Place, generation: int) -> None:
    place.write("page.php", PHP_PAGE)
    place.write(f"generation-{generation}.txt", str(generation))
    text = APACHE.format(folder=place.folder, port=place.port, generation=generation)
    place.write("apache.conf", text)


def use_apache(place: Place) -> str:
    def page(part: int) -> str:
        return web.text_of(place, f"/page.php?part={part % 6}")

    return web.at_once(page, 8, clients=4)


UWSGI_APP = """
import hashlib, json, os
FOLDER = os.path.dirname(__file__)
GENERATION = open(FOLDER + "/generation-now").read().strip()
LINES = open(FOLDER + "/corpus.txt", encoding="utf-8", errors="replace").read().split("\\n")
WORDS = {}
for number, line in enumerate(LINES[:120000]):
    for word in line.split():
        WORDS.setdefault(word, []).append(number)
NAMES = sorted(WORDS)

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/generation":
        return [GENERATION.encode()]
    part = int(environ["QUERY_STRING"])
    chosen = {name: [LINES[n] for n in WORDS[name]] for name in NAMES[part::37]}
    text = json.dumps(chosen)
    return [hashlib.sha256(text.encode()).hexdigest().encode()]
"""


def configure_uwsgi(place: Place, generation: int) -> None:
    place.write("app.py", UWSGI_APP)
    place.write("generation-now", str(generation))


def uwsgi_command(place: Place) -> list[str]:
    return [
        *("uwsgi", "--plugin", "python3", "--http-socket", f"127.0.0.1:{place.port}"),
        *("--master", "--processes", "4", "--wsgi-file", str(place.folder / "app.py")),
        *("--pidfile", str(place.folder / "pid"), "--uid", "nobody", "--gid", "nogroup"),
        *("--disable-logging", "--die-on-term"),
    ]


def use_uwsgi(place: Place) -> str:
    return web.at_once(lambda part: web.text_of(place, f"/words?{part % 37}"), 40, clients=4)


# --- databases and caches ------------------------------------------------------------------------

POSTGRES = "/usr/lib/postgresql/15/bin/"
POSTGRES_OPTIONS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
shared_buffers = 8MB
work_mem = 64MB
max_parallel_workers_per_gather = 0
fsync = off
suite.generation = '{generation}'
"""
QUERIES = (
    "CREATE TABLE t{n} AS SELECT i, md5((i * {n})::text) AS k, repeat(md5(i::text), 2) AS v"
    " FROM generate_series(1, 60000) AS i;",
    "SELECT count(*), sum(length(a.v)), max(b.k) FROM t{n} a JOIN t{n} b ON a.k = b.k;",
    "SELECT md5(string_agg(k, ',' ORDER BY v, k)) FROM t{n};",
    "SELECT md5(string_agg(s, '')) FROM (SELECT substr(k, 1, 3) || count(*) AS s FROM t{n}"
    " GROUP BY substr(k, 1, 3) ORDER BY 1) x;",
    "DROP TABLE t{n};",
)


def as_postgres(command: list[str]) -> list[str]:
    return as_user("postgres", "postgres", command)


def configure_postgres(place: Place, generation: int) -> None:
    data = place.folder / "data"
    if not data.exists():
        command = [POSTGRES + "initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "-N"]
        tool(as_postgres(command))
    text = POSTGRES_OPTIONS.format(folder=place.folder, generation=generation)
    (data / "postgresql.conf").write_text(text)


def postgres_command(place: Place) -> list[str]:
    command = [POSTGRES + "postgres", "-D", str(place.folder / "data"), "-p", str(place.port)]
    return as_postgres(command)


def postgres_master(place: Place) -> int:
    return int((place.folder / "data" / "postmaster.pid").read_text().split()[0])


def query(place: Place, text: str) -> str:
    address = ["-h", "127.0.0.1", "-p", str(place.port), "-U", "postgres"]
    return tool([POSTGRES + "psql", *address, "-XAtq", "-v", "ON_ERROR_STOP=1"], text.encode())


def use_postgres(place: Place) -> str:
    def session(number: int) -> str:
        return query(place, "\n".join(QUERIES).format(n=number + 2))

    return web.at_once(session, 6, clients=3)


def postgres_generation(place: Place) -> str:
    return query(place, "SHOW suite.generation;").strip()


def memcached_command(place: Place) -> list[str]:
    return [
        *("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(place.port), "-m", "128"),
        *("-t", "2", "-P", str(place.folder / "pid")),
    ]


def memcached_ask(place: Place, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", place.port), timeout=120) as connection:
        connection.sendall(data + b"quit\r\n")
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


def use_memcached(place: Place) -> str:
    """Stores the corpus in values of 2,000 bytes and reads every one."""
    digests = []
    values = list(web.pieces(place, 2000))
    for start in range(0, len(values), 100):
        batch = list(enumerate(values[start : start + 100], start))
        sets = b"".join(b"set k%d 0 0 %d\r\n%s\r\n" % (n, len(v), v) for n, v in batch)
        if memcached_ask(place, sets) != b"STORED\r\n" * len(batch):
            raise ValueError("memcached did not store a value")
    for _ in range(2):
        for start in range(0, len(values), 100):
            names = b" ".join(b"k%d" % n for n in range(start, start + 100))
            digests.append(web.digest(memcached_ask(place, b"get " + names + b"\r\n")))
    return f"{len(values)} {web.digest(''.join(digests).encode())}"


def memcached_generation(place: Place) -> str:
    return "1" if memcached_ask(place, b"version\r\n").startswith(b"VERSION") else ""


# --- sshd ----------------------------------------------------------------------------------------

# SHLVL: bash does not read the user's .bashrc then, which can do anything.
SSHD = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
PidFile {folder}/pid
AuthorizedKeysFile {folder}/client.pub
StrictModes no
UsePAM no
PermitRootLogin yes
MaxStartups 50
SetEnv GENERATION={generation} SHLVL=2
Subsystem sftp internal-sftp
"""


def configure_sshd(place: Place, generation: int) -> None:
    for name in ("host", "client"):
        if not (place.folder / name).exists():
            path = str(place.folder / name)
            tool(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path])
    Path("/run/sshd").mkdir(exist_ok=True)
    text = SSHD.format(folder=place.folder, port=place.port, generation=generation)
    place.write("sshd.conf", text)


def sshd_command(place: Place) -> list[str]:
    return ["/usr/sbin/sshd", "-D", "-e", "-f", str(place.folder / "sshd.conf")]


def ssh_options(place: Place, port_option: str) -> list[str]:
    return [
        *(port_option, str(place.port), "-i", str(place.folder / "client"), "-q"),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    ]


def ssh(place: Place, command: str, give: bytes = b"") -> str:
    return tool(["ssh", *ssh_options(place, "-p"), "127.0.0.1", command], give)


def use_sshd(place: Place) -> str:
    text = place.corpus.read_bytes()[:4_000_000]

    def session(number: int) -> str:
        return ssh(place, "sha256sum", text[number * 100_000 :])

    def copy(number: int) -> str:
        target = place.folder / f"copied-{number}"
        source = f"127.0.0.1:{place.corpus}"
        tool(["scp", *ssh_options(place, "-P"), source, str(target)])
        return web.digest(target.read_bytes())

    return web.at_once(session, 12, clients=6) + web.at_once(copy, 3, clients=3)


def sshd_generation(place: Place) -> str:
    return ssh(place, "echo $GENERATION").strip()


SERVERS: dict[str, Package] = {
    "nginx": Package(
        ("nginx-light",),
        lambda place: ["nginx", "-e", "stderr", "-c", str(place.folder / "nginx.conf")],
        configure_nginx,
        use_nginx,
        generation_page,
        reload=signal.SIGHUP,
        stop=signal.SIGQUIT,
    ),
    "haproxy": Package(
        ("haproxy",),
        lambda place: [
            *("haproxy", "-W", "-db", "-p", str(place.folder / "pid")),
            *("-f", str(place.folder / "haproxy.cfg")),
        ],
        configure_haproxy,
        use_proxy,
        generation_page,
        reload=signal.SIGUSR2,
    ),
    "apache2": Package(
        ("apache2", "libapache2-mod-php8.2"),
        lambda place: ["apache2", "-DFOREGROUND", "-f", str(place.folder / "apache.conf")],
        configure_apache,
        use_apache,
        generation_page,
        reload=signal.SIGUSR1,
    ),
    "php-fpm": Package(
        ("php8.2-fpm", "libfcgi-bin"),
        lambda place: ["php-fpm8.2", "-F", "-y", str(place.folder / "php-fpm.conf")],
        configure_php,
        use_php,
        lambda place: fastcgi(place, "generation.php").strip(),
        reload=signal.SIGUSR2,
        stop=signal.SIGQUIT,
    ),
    "uwsgi": Package(
        ("uwsgi-core", "uwsgi-plugin-python3"),
        uwsgi_command,
        configure_uwsgi,
        use_uwsgi,
        generation_page,
        reload=signal.SIGHUP,
    ),
    "postgres": Package(
        ("postgresql-15",),
        postgres_command,
        configure_postgres,
        use_postgres,
        postgres_generation,
        postgres_master,
        reload=signal.SIGHUP,
        stop=signal.SIGINT,
    ),
    "memcached": Package(
        ("memcached",),
        memcached_command,
        use=use_memcached,
        generation=memcached_generation,
    ),
    "sshd": Package(
        ("openssh-server", "openssh-client"),
        sshd_command,
        configure_sshd,
        use_sshd,
        sshd_generation,
        reload=signal.SIGHUP,
    ),
}
