#include "base/address.h"

#include "base/hash.h"
#include "base/text.h"

#include <limits.h>
#include <string.h>

#define ADDRESS_GROUPS    8  /* of 16 bits, in IPv6 text */
#define ADDRESS_HOST_BITS 64 /* of a host's network (RFC 4291, section 2.5.4) */

static const uint8_t address_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

int address_compare(const struct address *one, const struct address *other)
{
    const int order = memcmp(one->ip, other->ip, sizeof one->ip);

    return order != 0 ? order : (one->port > other->port) - (one->port < other->port);
}

uint64_t address_hash(const struct address *address, uint64_t secret)
{
    uint64_t high;
    uint64_t low;

    memcpy(&high, address->ip, sizeof high);
    memcpy(&low, address->ip + sizeof high, sizeof low);
    return hash_mix(hash_mix(secret ^ high, low), address->port);
}

bool address_is_ipv4(const struct address *address)
{
    return memcmp(address->ip, address_mapped, sizeof address_mapped) == 0;
}

bool address_is_loopback(const struct address *address)
{
    static const uint8_t one[16] = { [15] = 1 };

    return address_is_ipv4(address) ? address->ip[12] == 127
                                    : memcmp(address->ip, one, sizeof one) == 0;
}

struct address address_host(const struct address *address)
{
    struct address host = { .port = 0 };

    memcpy(host.ip, address->ip,
           address_is_ipv4(address) ? sizeof host.ip : ADDRESS_HOST_BITS / CHAR_BIT);
    return host;
}

bool address_is_wildcard(const struct address *address)
{
    static const uint8_t zero[16];
    const size_t front = address_is_ipv4(address) ? sizeof address_mapped : 0;

    return memcmp(address->ip + front, zero, sizeof zero - front) == 0;
}

bool address_is_peer(const struct address *address)
{
    const uint8_t *ip = address->ip;

    if (address->port == 0 || address_is_wildcard(address)) {
        return false;
    }
    if (address_is_ipv4(address)) {
        const bool multicast_or_above = ip[12] >= 224; /* 255.255.255.255 too */
        const bool link_local = ip[12] == 169 && ip[13] == 254;

        return ip[12] != 0 && !multicast_or_above && !link_local;
    }
    return ip[0] != 0xff && !(ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

/* Four decimal numbers and three dots, no leading zeros. */
static bool address_ipv4_from_text(struct bytes text, uint8_t ip_out[4])
{
    size_t at = 0;

    for (unsigned i = 0; i < 4; i++) {
        size_t end = at;
        uint64_t number;

        while (end < text.size && text.data[end] != '.') {
            end++;
        }
        if (end - at > 3 || !text_get_u64((struct bytes){ text.data + at, end - at }, &number)
            || number > 255 || (end < text.size) != (i < 3)) {
            return false;
        }
        ip_out[i] = (uint8_t)number;
        at = end + 1;
    }
    return true;
}

/* Groups read so far, and where the "::" was. */
struct address_groups {
    uint16_t group[ADDRESS_GROUPS];
    unsigned count;
    unsigned gap; /* groups before "::"; ADDRESS_GROUPS + 1: none */
};

/* One group at `*at`, or an IPv4 tail in the place of the last two. */
static bool address_group(struct bytes text, size_t *at, struct address_groups *groups)
{
    size_t end = *at;

    while (end < text.size && text.data[end] != ':') {
        end++;
    }
    if (memchr(text.data + *at, '.', end - *at) != NULL) {
        uint8_t ip[4];

        if (end < text.size || groups->count > ADDRESS_GROUPS - 2
            || !address_ipv4_from_text((struct bytes){ text.data + *at, end - *at }, ip)) {
            return false;
        }
        groups->group[groups->count++] = (uint16_t)(ip[0] << 8 | ip[1]);
        groups->group[groups->count++] = (uint16_t)(ip[2] << 8 | ip[3]);
    } else {
        uint64_t number;

        if (groups->count == ADDRESS_GROUPS || end - *at > 4
            || !text_get_hex64((struct bytes){ text.data + *at, end - *at }, &number)) {
            return false;
        }
        groups->group[groups->count++] = (uint16_t)number;
    }
    *at = end;
    return true;
}

/* Any RFC 4291 form: the canonical one is asked for by writing it back. */
static bool address_ipv6_from_text(struct bytes text, uint8_t ip_out[16])
{
    struct address_groups groups = { .gap = ADDRESS_GROUPS + 1 };
    size_t at = 0;
    unsigned missing;

    if (text.size >= 2 && text.data[0] == ':' && text.data[1] == ':') {
        groups.gap = 0;
        at = 2;
    }
    while (at < text.size) {
        if (!address_group(text, &at, &groups)) {
            return false;
        }
        if (at == text.size) {
            break;
        }
        at++; /* the ':' after a group */
        if (at < text.size && text.data[at] == ':') {
            if (groups.gap <= ADDRESS_GROUPS) {
                return false;
            }
            groups.gap = groups.count;
            at++;
        } else if (at == text.size) {
            return false;
        }
    }
    missing = ADDRESS_GROUPS - groups.count;
    if ((missing == 0) != (groups.gap > ADDRESS_GROUPS)) {
        return false;
    }
    memset(ip_out, 0, 16);
    for (unsigned i = 0; i < groups.count; i++) {
        const unsigned place = i < groups.gap ? i : i + missing;

        ip_out[2 * place] = (uint8_t)(groups.group[i] >> 8);
        ip_out[2 * place + 1] = (uint8_t)groups.group[i];
    }
    return true;
}

bool address_ip_from_text(struct bytes text, uint8_t ip_out[16])
{
    uint8_t ip[16];

    memcpy(ip, address_mapped, sizeof address_mapped);
    if (!address_ipv4_from_text(text, ip + 12) && !address_ipv6_from_text(text, ip)) {
        return false;
    }
    memcpy(ip_out, ip, sizeof ip);
    return true;
}

/* The number after the last ':' of text; what stands before it. */
static bool address_split_port(struct bytes text, struct bytes *host, uint16_t *port)
{
    size_t colon = text.size;
    uint64_t number;

    while (colon > 0 && text.data[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2 || !text_get_u64((struct bytes){ text.data + colon, text.size - colon }, &number)
        || number > UINT16_MAX) {
        return false;
    }
    *host = (struct bytes){ text.data, colon - 1 };
    *port = (uint16_t)number;
    return true;
}

bool address_from_text(struct bytes text, struct address *address_out)
{
    struct address address;
    struct bytes host;
    char canonical[ADDRESS_TEXT_MAX];

    if (text.size > ADDRESS_TEXT_MAX || !address_split_port(text, &host, &address.port)) {
        return false;
    }
    if (host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = (struct bytes){ host.data + 1, host.size - 2 };
    }
    /* One address, one text: what writing it back does not reproduce is another's spelling. */
    if (!address_ip_from_text(host, address.ip) || address_to_text(&address, canonical) != text.size
        || memcmp(canonical, text.data, text.size) != 0) {
        return false;
    }
    *address_out = address;
    return true;
}

bool address_from_presence(struct bytes key, struct address *address_out)
{
    const struct bytes prefix = { (const uint8_t *)"n:", 2 };
    struct address address;

    if (!bytes_begin_with(key, prefix)
        || !address_from_text((struct bytes){ key.data + prefix.size, key.size - prefix.size },
                              &address)
        || !address_is_peer(&address)) {
        return false;
    }
    *address_out = address;
    return true;
}

/* The longest run of at least two zero groups, the first of equals (RFC 5952, section 4.2). */
static unsigned address_longest_zeros(const uint8_t ip[16], unsigned *first)
{
    unsigned longest = 1;

    for (unsigned i = 0; i < ADDRESS_GROUPS; i++) {
        unsigned zeros = 0;

        while (i + zeros < ADDRESS_GROUPS && ip[2 * (i + zeros)] == 0
               && ip[2 * (i + zeros) + 1] == 0) {
            zeros++;
        }
        if (zeros > longest) {
            longest = zeros;
            *first = i;
        }
    }
    return longest > 1 ? longest : 0;
}

static size_t address_put_group(char *to, unsigned group)
{
    size_t size = 0;

    for (int shift = 12; shift >= 0; shift -= 4) {
        const unsigned digit = group >> shift & 15;

        if (size > 0 || digit > 0 || shift == 0) {
            to[size++] = "0123456789abcdef"[digit];
        }
    }
    return size;
}

static size_t address_put_ipv6(const uint8_t ip[16], char *to)
{
    unsigned gap = ADDRESS_GROUPS;
    const unsigned zeros = address_longest_zeros(ip, &gap);
    size_t size = 0;
    unsigned i = 0;

    while (i < ADDRESS_GROUPS) {
        if (i == gap) {
            to[size++] = ':';
            to[size++] = ':';
            i += zeros;
        } else {
            if (i > 0 && i != gap + zeros) {
                to[size++] = ':';
            }
            size += address_put_group(to + size, (unsigned)(ip[2 * i] << 8 | ip[2 * i + 1]));
            i++;
        }
    }
    return size;
}

size_t address_ip_to_text(const struct address *address, char *to)
{
    size_t size = 0;

    if (!address_is_ipv4(address)) {
        return address_put_ipv6(address->ip, to);
    }
    for (unsigned i = 12; i < 16; i++) {
        if (i > 12) {
            to[size++] = '.';
        }
        size += text_put_u64(to + size, address->ip[i]);
    }
    return size;
}

size_t address_to_text(const struct address *address, char *to)
{
    const bool brackets = !address_is_ipv4(address);
    size_t size = 0;

    if (brackets) {
        to[size++] = '[';
    }
    size += address_ip_to_text(address, to + size);
    if (brackets) {
        to[size++] = ']';
    }
    to[size++] = ':';
    return size + text_put_u64(to + size, address->port);
}

bool address_range_from_text(struct bytes text, struct address_range *range_out)
{
    const uint8_t *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
    const struct bytes host = { text.data,
                                slash == NULL ? text.size : (size_t)(slash - text.data) };
    struct address address = { .port = 0 };
    struct address_range range;
    uint64_t bits;

    if (!address_ip_from_text(host, address.ip)) {
        return false;
    }
    bits = address_is_ipv4(&address) && memchr(host.data, ':', host.size) == NULL ? 32 : 128;
    if (slash != NULL) {
        const uint64_t bits_max = bits;

        if (!text_get_u64((struct bytes){ slash + 1, text.size - host.size - 1 }, &bits)
            || bits > bits_max) {
            return false;
        }
        bits += 128 - bits_max;
    } else {
        bits = 128;
    }
    memcpy(range.ip, address.ip, sizeof range.ip);
    range.bits = (uint8_t)bits;
    *range_out = range;
    return true;
}

bool address_in_range(const struct address *address, const struct address_range *range)
{
    const unsigned whole = range->bits / 8;
    const unsigned rest = range->bits % 8;

    return memcmp(address->ip, range->ip, whole) == 0
           && (rest == 0 || (address->ip[whole] ^ range->ip[whole]) >> (8 - rest) == 0);
}

bool address_in_ranges(const struct address *address, const struct address_range *ranges,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (address_in_range(address, &ranges[i])) {
            return true;
        }
    }
    return false;
}
