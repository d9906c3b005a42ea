#include "net/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool notify_send(const char *message)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    size_t size;
    ssize_t sent;
    int reason;
    int fd;

    if (path == NULL || path[0] == '\0') {
        return true;
    }
    size = strlen(path);
    if (size >= sizeof name.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(name.sun_path, path, size);
    if (name.sun_path[0] == '@') {
        name.sun_path[0] = '\0'; /* the abstract namespace */
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    sent = sendto(fd, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *)&name,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    reason = errno;
    (void)close(fd);
    errno = reason;
    return sent >= 0;
}
