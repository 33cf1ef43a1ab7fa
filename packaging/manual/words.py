"""What `pypicached.1` says beyond the command tree: exit codes, signals, files, examples."""

from __future__ import annotations

DESCRIPTION = """
A cache in front of PyPI and other indexes, for pip, uv, Poetry, PDM and Pipenv. Every project page
and distribution file is fetched from its index at most once, verified, kept on disk, and served
from there from then on, also while the index is slow, wrong or down. One small daemon serves a
build host, at `http://127.0.0.1:3143/simple/` unless it is told otherwise.

`pypicached serve` is the daemon. All other commands but `config` and `client` ask the running
daemon, over its control socket. Without `--socket` they look for the daemon of the calling user,
then for the system's. The system's daemon does everything for root and for its own user. For the
members of the group `pypicached` it does everything that changes nothing, except `who`, and also
`warm` (without `--pin`) and `invalidate`.

Files that a command line names are read and written by the command, as the calling user.
"""

# Path below the program's name → paragraphs behind the command's own help.
MORE: dict[tuple[str, ...], str] = {
    ("serve",): """
What these options say goes before the environment, and that before the configuration file; see
pypicached.toml(5).
""",
    ("client",): """
The lines for `pip` and `uv` can be redirected into the file as they are. uv's index setting is
right for `uv pip` and for new locks; about a committed uv.lock see what `pypicached client uv`
prints.
""",
    ("warm",): """
Nothing is built and nothing is installed. Of several `--python` and `--platform` each is combined
with each.
""",
    ("who",): """
Since when the records are complete is told on standard error. For root and the daemon's user alone.
""",
    ("invalidate",): """
It wants to be told what: PROJECT, `--project-list` or `--all`.
""",
    ("pin",): """
A pin is a rule: it also holds for what is cached later. Pins are lines of the file pins.txt beside
the ledger.
""",
}

EXIT_CODES = (
    ("0", "Done."),
    (
        "1",
        "Some of it failed, and it was said what. Of `status --check`: there is a problem. Of "
        "`verify`: damage remains. Of `warm --check`: something is missing.",
    ),
    ("2", "Wrong usage, a bad configuration, or an input file that cannot be read."),
    ("3", "No daemon answers; it was said where it was looked for, and how one is started."),
    ("4", "Not allowed; it was said which group or user may."),
    ("130, 141", "Ended by Ctrl-C, or because nobody reads the output any more."),
)

SIGNALS = "Of `pypicached serve`:"
SIGNAL_LIST = (
    (
        "SIGTERM, SIGINT",
        "Stop. Running transfers may go on for `[server] drain`; a second signal ends them at "
        "once.",
    ),
    ("SIGHUP", "Read the configuration again, as `pypicached reload` does."),
)

ENVIRONMENT = (
    ("PYPICACHED_SOCKET", "The control socket, for the commands and for `serve`."),
    (
        "PYPICACHED_SECTION__KEY",
        "A setting, such as `PYPICACHED_CACHE__MAX_SIZE=50GiB`; see pypicached.toml(5).",
    ),
    ("PYPICACHED_INDEX_URL", "The one index to cache, in place of those of the file."),
    (
        "HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
        "HTTP proxies towards indexes that have no `proxy` of their own. Of the daemon's "
        "environment: under systemd /etc/default/pypicached has it.",
    ),
    ("NETRC", "Credentials of hosts, in place of `~/.netrc`."),
    (
        "CACHE_DIRECTORY, STATE_DIRECTORY, RUNTIME_DIRECTORY, CONFIGURATION_DIRECTORY",
        "Where things are, as systemd hands it over (systemd.exec(5)).",
    ),
    (
        "CREDENTIALS_DIRECTORY",
        "Where systemd puts credentials; a setting `..._file` may begin with it.",
    ),
)

FILES = (
    ("/etc/pypicached/pypicached.toml", "The configuration of the system's daemon."),
    ("~/.config/pypicached/pypicached.toml", "That of a user's own."),
    ("/etc/pypicached/credentials/", "Secrets of indexes, a file each, for root alone to read."),
    ("/etc/default/pypicached", "The environment of the system's daemon."),
    ("/run/pypicached/control.sock", "The control socket of the system's daemon."),
    (
        "/var/cache/pypicached/",
        "What the system's daemon has cached; of a user's own: ~/.cache/pypicached/.",
    ),
    ("/var/lib/pypicached/ledger.sqlite", "Its ledger: pages, what is cached, statistics."),
    ("/var/lib/pypicached/pins.txt", "What is never evicted, a requirement a line."),
)

EXAMPLES = (
    (
        "Install through the cache, in a virtual environment:",
        "pip install --index-url http://127.0.0.1:3143/simple/ flask",
    ),
    (
        "Let pip use it from now on:",
        "mkdir -p ~/.config/pip\npypicached client pip > ~/.config/pip/pip.conf",
    ),
    ("See how it is:", "pypicached status\npypicached status --check || echo look after it"),
    (
        "Have everything here before a build, and find out whether it could be installed offline:",
        "pypicached warm -r requirements.txt --python 3.11 --python 3.13\n"
        "pypicached warm --lock uv.lock --check",
    ),
    (
        "See what has not been used for a quarter of a year, and remove it:",
        "pypicached prune --days 90 --dry-run\npypicached prune --days 90",
    ),
    (
        "See who has a bad release:",
        'pypicached who "leftpad==2.0.1"\npypicached who leftpad --since 7d --json',
    ),
    ("See a release that was published a minute ago:", "pypicached invalidate flask"),
    ("A back-up of the ledger:", "pypicached backup /var/backups/pypicached.sqlite --force"),
)

SEE_ALSO = """
pypicached.toml(5), pypicached-client(1), pip(1), systemctl(1),
/usr/share/doc/pypicached/README.Debian.gz
"""
