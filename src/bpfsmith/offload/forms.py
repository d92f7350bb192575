"""Which functions of the C library have a form in the kernel half, and why others have not."""

from __future__ import annotations

FORMS = frozenset(
    """memcmp bcmp memcpy memmove mempcpy memset bzero memchr memrchr strlen strnlen strcmp strncmp strcasecmp strncasecmp
    strcpy stpcpy strncpy strcat strncat strlcpy strchr strrchr strstr strspn strcspn isspace isdigit isupper islower isalpha
    isalnum isxdigit isprint isgraph iscntrl ispunct isblank toupper tolower abs htons ntohs htonl ntohl strtoul strtoull
    strtol strtoll atoi atol atoll""".split()
)
"""The functions of runtime/offload_libc.h, without their prefix."""

BUILTINS = frozenset(("__builtin_bswap16", "__builtin_bswap32", "__builtin_bswap64", "__builtin_popcount", "__builtin_clz"))
ALIASES = {
    "__bswap_16": "__builtin_bswap16", "__bswap16": "__builtin_bswap16", "__bswap_32": "__builtin_bswap32",
    "__bswap32": "__builtin_bswap32", "__bswap_64": "__builtin_bswap64", "index": "strchr", "rindex": "strrchr",
    "__builtin_memcpy": "memcpy", "__builtin_memset": "memset", "__builtin_memcmp": "memcmp", "__builtin_strlen": "strlen",
    "__isspace": "isspace",
}  # fmt: skip
PRINTS = frozenset(("snprintf", "sprintf"))

ERRNO = "__errno_location"
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("__errno_location", "errno is the process's: only a call that failed there sets it", ""),
    ("open openat creat fopen fdopen freopen fread fwrite fgets fgetc fputs fclose fseek lseek stat fstat lstat access unlink "
     "rename mkdir opendir readdir pread pwrite readv writev fsync ftruncate fscanf getline",
     "files are read and written by processes", "keep what requests need in memory, and let those that need a file be slow"),
    ("printf fprintf vprintf puts putchar perror syslog fputc fflush vfprintf dprintf err errx warn warnx",
     "it writes to the outside", "leave logging out of the ways that are to be fast, or count instead"),
    ("malloc calloc realloc free strdup strndup asprintf",
     "memory of the process's heap is out of the kernel half's reach", "use arrays of a fixed size for what requests need"),
    ("sleep usleep nanosleep poll select epoll_wait pthread_mutex_lock pthread_cond_wait sem_wait waitpid wait fork system "
     "popen exec execvp accept connect",
     "it may wait, and the kernel half runs to its end", "let requests that have to wait be answered by the process"),
    ("time clock_gettime gettimeofday clock localtime gmtime strftime", "a kernel half has no wall clock",
     "keep the time in a variable that the process sets now and then"),
    ("rand random srand drand48 getrandom lrand48 rand_r", "random numbers of a process go on from a seed that it keeps",
     "draw them by code of the server's own"),
    ("exit abort _exit close shutdown", "only the process can end itself or close its sockets", ""),
    ("sscanf strtok strtok_r strsep strtod strtof atof qsort bsearch inet_ntop inet_pton inet_ntoa inet_aton inet_addr getenv "
     "vsnprintf",
     "it has no form in the kernel half yet", "write it as a loop, or with functions such as strchr, memcmp and strtoul"),
)  # fmt: skip
WHY = {name: (why, help_text) for names, why, help_text in _KINDS for name in names.split()}


def why_not(name: str) -> tuple[str, str]:
    """Why a call cannot be made in the kernel half, and what one could do."""
    default = ("its source is not among the files", "name the file that defines it too, or let such requests be slow")
    return WHY.get(name, default)


def conversions(text: str) -> list[tuple[str, str]] | None:
    """A printf format in parts: ("text", ..) and ("%...", conversion). None where a part has no form here.

    `text` is what stands between the quotes in C; escapes stay as they are.
    """
    parts: list[tuple[str, str]] = []
    plain, at = "", 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            plain += text[at : at + 2]
            at += 2
        elif char != "%":
            plain += char
            at += 1
        elif text[at : at + 2] == "%%":
            plain += "%"
            at += 2
        else:
            end = at + 1
            while end < len(text) and text[end] in "-0123456789.*hlzjt":
                end += 1
            if end >= len(text) or text[end] not in "sdiuxXc":
                return None
            if plain:
                parts.append(("text", plain))
                plain = ""
            parts.append(("%", text[at + 1 : end + 1]))
            at = end + 1
    if plain:
        parts.append(("text", plain))
    return parts
