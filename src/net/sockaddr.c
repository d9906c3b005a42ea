#include "net/sockaddr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

socklen_t sockaddr_put(const struct address *address, int family, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (family == AF_INET) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(address->port) };

        assert(address_is_ipv4(address));
        memcpy(&in.sin_addr, address->ip + 12, 4);
        memcpy(to, &in, sizeof in);
        return sizeof in;
    }
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(address->port) };

    memcpy(&in6.sin6_addr, address->ip, 16);
    memcpy(to, &in6, sizeof in6);
    return sizeof in6;
}

bool sockaddr_get(const struct sockaddr *from, struct address *address_out)
{
    struct address address = { .ip = { [10] = 0xff, [11] = 0xff } };

    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, from, sizeof in);
        memcpy(address.ip + 12, &in.sin_addr, 4);
        address.port = ntohs(in.sin_port);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, from, sizeof in6);
        memcpy(address.ip, &in6.sin6_addr, 16);
        address.port = ntohs(in6.sin6_port);
    } else {
        return false;
    }
    *address_out = address;
    return true;
}

int sockaddr_family(const struct address *address)
{
    return address_is_ipv4(address) ? AF_INET : AF_INET6;
}
