#include "net/listen.h"

#include "net/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 1024 /* connections that wait for accept(); the kernel caps it */

static enum status listen_fault(const struct address *address, int reason, struct fault *why)
{
    char text[ADDRESS_TEXT_MAX];
    const int size = (int)address_to_text(address, text);

    return fault_set(why, STATUS_SYSTEM, "cannot listen on TCP %.*s: %s%s", size, text,
                     strerror(reason),
                     reason == EADDRINUSE ? " (another process has it: choose another port)" : "");
}

enum status listen_tcp(struct address *address, int *fd_out, struct fault *why)
{
    const int family = sockaddr_family(address);
    const int on = 1;
    const int off = 0;
    struct sockaddr_storage name;
    socklen_t size = sockaddr_put(address, family, &name);
    const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int reason;

    if (fd < 0) {
        return listen_fault(address, errno, why);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, (const struct sockaddr *)&name, size) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        goto close_socket;
    }
    size = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &size) != 0) {
        goto close_socket;
    }
    (void)sockaddr_get((const struct sockaddr *)&name, address);
    *fd_out = fd;
    return STATUS_OK;

close_socket:
    reason = errno;
    (void)close(fd);
    return listen_fault(address, reason, why);
}

/* Whether a file may be removed to bind there: a socket that refuses connections. */
static bool listen_is_stale(const struct sockaddr_un *name)
{
    struct stat stat;
    bool stale;
    int fd;

    if (lstat(name->sun_path, &stat) != 0 || !S_ISSOCK(stat.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    stale = connect(fd, (const struct sockaddr *)name, sizeof *name) != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return stale;
}

enum status listen_unix(const char *path, int *fd_out, struct fault *why)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    bool is_bound;
    int fd;

    if (strlen(path) >= sizeof name.sun_path) {
        return fault_set(why, STATUS_INVALID, "the path of a Unix socket has at most %zu bytes: %s",
                         sizeof name.sun_path - 1, path);
    }
    memcpy(name.sun_path, path, strlen(path));
    if (listen_is_stale(&name)) {
        (void)unlink(path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fault_set(why, STATUS_SYSTEM, "cannot open a Unix socket: %s", strerror(errno));
    }
    is_bound = bind(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    if (!is_bound || chmod(path, 0660) != 0 /* connect(2) asks for write permission */
        || listen(fd, LISTEN_BACKLOG) != 0) {
        const enum status status =
            fault_set(why, STATUS_SYSTEM, "cannot listen on unix:%s: %s", path, strerror(errno));

        if (is_bound) {
            (void)unlink(path);
        }
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    return STATUS_OK;
}

bool listen_port_is_bad(uint16_t port)
{
    static const uint16_t bad[] = { 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000,
                                    6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080 };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (bad[i] == port) {
            return true;
        }
    }
    return false;
}
