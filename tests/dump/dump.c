/* Prints the datagrams of a capture as vignette reads them, by the decoder of the wire room:
 *
 *     tcpdump -i any -w FILE udp port 6001
 *     tests/dump/dump FILE            (or - for standard input)
 *
 * Takes files of pcap (not pcapng) of Ethernet, loopback, raw IP and Linux's cooked captures; of
 * those, UDP over IPv4 and over IPv6 without extension headers. Other frames, and fragments, are
 * counted at the end. Source: pcap-savefile(5), the link types of tcpdump.org. */

#include "base/address.h"
#include "wire/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FRAME_BYTES_MAX  262144 /* tcpdump's own snapshot length */
#define FILE_HEAD_BYTES  24
#define FRAME_HEAD_BYTES 16
#define ELEMENTS_SHOWN   8

enum link_type {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW = 101,
    LINK_SLL = 113,
    LINK_SLL2 = 276
};

/* A capture being read. */
struct capture {
    FILE *file;
    uint32_t link;      /* enum link_type */
    uint32_t fractions; /* in a second */
    bool is_swapped;
};

/* A UDP datagram in a frame. */
struct packet {
    struct address from;
    struct address to;
    struct bytes payload;
    bool is_cut; /* by the snapshot length */
};

static uint32_t number_of(const struct capture *capture, const uint8_t *at)
{
    uint32_t number;

    memcpy(&number, at, sizeof number);
    return capture->is_swapped ? __builtin_bswap32(number) : number;
}

static uint16_t big_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* NULL, or what is wrong with the file's head. */
static const char *capture_begin(struct capture *capture)
{
    static const struct {
        uint32_t magic;
        uint32_t fractions;
    } kinds[] = { { 0xa1b2c3d4, 1000000 }, { 0xa1b23c4d, 1000000000 } };
    uint8_t head[FILE_HEAD_BYTES];
    uint32_t magic;

    if (fread(head, sizeof head, 1, capture->file) != 1) {
        return "no head of a pcap file";
    }
    memcpy(&magic, head, sizeof magic);
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (magic == kinds[i].magic || magic == __builtin_bswap32(kinds[i].magic)) {
            capture->is_swapped = magic != kinds[i].magic;
            capture->fractions = kinds[i].fractions;
            capture->link = number_of(capture, head + 20) & 0xffff;
            return NULL;
        }
    }
    return "not pcap (of pcapng: editcap -F pcap makes it)";
}

/* The IP packet of a frame; empty: none is in it. */
static struct bytes frame_ip(uint32_t link, struct bytes frame)
{
    size_t skip;

    switch (link) {
    case LINK_NULL: skip = 4; break;
    case LINK_RAW: skip = 0; break;
    case LINK_SLL: skip = 16; break;
    case LINK_SLL2: skip = 20; break;
    default:
        skip = 14;
        if (frame.size >= 18 && big_get16(frame.data + 12) == 0x8100) { /* of a VLAN */
            skip = 18;
        }
        break;
    }
    skip = skip < frame.size ? skip : frame.size;
    return (struct bytes){ frame.data + skip, frame.size - skip };
}

/* Write an address as base has it; IPv4 is mapped. */
static struct address address_from_wire(const uint8_t *ip, size_t size, const uint8_t *port)
{
    struct address address = { .port = big_get16(port) };

    if (size == 4) {
        address.ip[10] = address.ip[11] = 0xff;
    }
    memcpy(address.ip + sizeof address.ip - size, ip, size);
    return address;
}

/* False: no whole UDP datagram begins here. */
static bool packet_read(struct bytes ip, struct packet *packet)
{
    const bool is_four = ip.size >= 20 && ip.data[0] >> 4 == 4;
    const size_t head = is_four ? (size_t)(ip.data[0] & 15) * 4 : 40;
    const size_t size = is_four ? 4 : 16;
    const uint8_t *udp;
    size_t bytes;

    if (ip.size < head + 8 || head < 20) {
        return false;
    }
    if (is_four ? ip.data[9] != 17 || (big_get16(ip.data + 6) & 0x3fff) != 0
                : ip.data[0] >> 4 != 6 || ip.data[6] != 17) {
        return false;
    }
    udp = ip.data + head;
    bytes = big_get16(udp + 4);
    if (bytes < 8) {
        return false;
    }
    *packet = (struct packet){
        .from = address_from_wire(ip.data + (is_four ? 12 : 8), size, udp),
        .to = address_from_wire(ip.data + (is_four ? 16 : 24), size, udp + 2),
        .payload = { udp + 8, bytes - 8 },
        .is_cut = bytes > ip.size - head,
    };
    return true;
}

static void text_print(const char *name, struct bytes text)
{
    printf(" %s=\"", name);
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t byte = text.data[i];

        printf(byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\' ? "\\x%02x" : "%c", byte);
    }
    putchar('"');
}

static void address_print(const struct address *address)
{
    char text[ADDRESS_TEXT_MAX];

    printf("%.*s", (int)address_to_text(address, text), text);
}

static void item_print(const char *name, const struct item *item)
{
    struct elements elements = item->elements;
    struct block_room room;
    struct block block;
    uint64_t count = 0;

    text_print(name, item->key);
    printf("%s {", item->full ? " full" : "");
    while (elements_next(&elements, &room, &block)) {
        for (unsigned offset = 0; offset < BLOCK_ELEMENTS; offset++) {
            const uint64_t value = block_get(&block, offset);

            if (value > 0 && count++ < ELEMENTS_SHOWN) {
                printf("%s%" PRIu64 ": %" PRIu64, count > 1 ? ", " : "", block.number << 8 | offset,
                       value);
            }
        }
    }
    if (count > ELEMENTS_SHOWN) {
        printf(", and %" PRIu64 " more", count - ELEMENTS_SHOWN);
    }
    putchar('}');
}

static void bytes_print(const char *name, const uint8_t *bytes, size_t size)
{
    printf(" %s=", name);
    for (size_t i = 0; i < size; i++) {
        printf("%02x", bytes[i]);
    }
}

static void envelope_print(const struct envelope *envelope)
{
    const struct {
        uint32_t has;
        const char *name;
        uint32_t number;
    } numbers[] = {
        { WIRE_HAS_SENDER, "i", envelope->sender_id },
        { WIRE_HAS_CLUSTER, "l", envelope->cluster },
        { WIRE_HAS_SEQUENCE, "q", envelope->sequence },
        { WIRE_HAS_DEPTH, "d", envelope->depth },
        { WIRE_HAS_WINDOW, "W", envelope->window },
        { WIRE_HAS_FLAGS, "F", envelope->flags },
        { WIRE_HAS_WHO, "?", envelope->who },
        { WIRE_HAS_REFUSED, "n", envelope->refused },
    };

    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if ((envelope->has & numbers[i].has) != 0) {
            printf(" %s=%" PRIu32, numbers[i].name, numbers[i].number);
        }
    }
    if ((envelope->has & WIRE_HAS_TOKEN) != 0) {
        bytes_print("t", envelope->token, sizeof envelope->token);
    }
    if ((envelope->has & WIRE_HAS_ECHO) != 0) {
        bytes_print("e", envelope->echo, sizeof envelope->echo);
    }
    if ((envelope->has & WIRE_HAS_ROOTS) != 0) {
        printf(" r=%08" PRIx32 ",%08" PRIx32, envelope->roots[0], envelope->roots[1]);
    }
}

static void prefix_print(const char *name, const struct prefix *prefix)
{
    printf("\n    %s set %u prefix %016" PRIx64 "/%u", name, prefix->set, prefix->bits,
           prefix->nibbles);
}

/* The fields of `x` that have many entries, a line each but for numbers. */
static void entries_print(struct message *message)
{
    struct wire_blocks blocks;
    struct wire_tree tree;
    struct wire_leaf leaf;
    struct item item;
    uint32_t sequence;
    uint64_t hash;

    while (message_next_ack(&message->acks, &sequence)) {
        printf(" a=%" PRIu32, sequence);
    }
    while (message_next_wanted(&message->wanted, &hash)) {
        printf(" w=%016" PRIx64, hash);
    }
    if (message->probe_target.size > 0) {
        text_print("p", message->probe_target);
    }
    while (message_next_tree(&message->tree, &tree)) {
        prefix_print("v", &tree.prefix);
    }
    while (message_next_leaf(&message->leaves, &leaf)) {
        prefix_print("L", &leaf.prefix);
        printf(" %zu keys", leaf.pairs.size / WIRE_LEAF_PAIR_BYTES);
    }
    while (message_next_blocks(&message->block_digests, &blocks)) {
        printf("\n    B set %u hash %016" PRIx64 "%s", blocks.set, blocks.hash,
               blocks.more ? " and more" : "");
    }
    while (message_next_item(&message->items, &item)) {
        printf("\n   ");
        item_print("b", &item);
    }
}

static void packet_print(const struct packet *packet)
{
    static struct message message;
    enum wire_drop drop;

    address_print(&packet->from);
    printf(" > ");
    address_print(&packet->to);
    printf(" %zu bytes:", packet->payload.size);
    drop = packet->is_cut ? WIRE_TRUNCATED : message_decode(packet->payload, &message);
    if (drop != WIRE_OK) {
        printf(" %s%s\n", wire_drop_label(drop), packet->is_cut ? " in the capture" : "");
        return;
    }
    if (message.plain.key.size > 0) {
        item_print("key", &message.plain);
    }
    if (message.has_ttl) {
        printf(" ttl=%u", message.ttl);
    }
    if (message.extended) {
        printf(" x");
        envelope_print(&message.envelope);
        entries_print(&message);
    }
    putchar('\n');
}

/* Returns what is wrong with the file; NULL: it was read to its end. */
static const char *capture_print(struct capture *capture)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    uint8_t head[FRAME_HEAD_BYTES];
    uint64_t passed = 0;
    struct packet packet;

    while (fread(head, sizeof head, 1, capture->file) == 1) {
        const uint32_t size = number_of(capture, head + 8);

        if (size > sizeof frame || (size > 0 && fread(frame, size, 1, capture->file) != 1)) {
            return "cut short, or no frame";
        }
        if (!packet_read(frame_ip(capture->link, (struct bytes){ frame, size }), &packet)) {
            passed++;
            continue;
        }
        printf("%" PRIu32 ".%06" PRIu32 " ", number_of(capture, head),
               number_of(capture, head + 4) / (capture->fractions / 1000000));
        packet_print(&packet);
    }
    if (passed > 0) {
        printf("%" PRIu64 " frames were no whole UDP datagrams\n", passed);
    }
    return ferror(capture->file) != 0 ? "cannot be read" : NULL;
}

int main(int argc, char **argv)
{
    struct capture capture = { .file = stdin };
    const char *wrong;

    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "-") != 0) {
        capture.file = fopen(argv[1], "rb");
        if (capture.file == NULL) {
            perror(argv[1]);
            return 1;
        }
    }
    wrong = capture_begin(&capture);
    if (wrong == NULL) {
        wrong = capture_print(&capture);
    }
    if (wrong != NULL) {
        fprintf(stderr, "%s: %s\n", argv[1], wrong);
    }
    (void)fclose(capture.file);
    return wrong == NULL && fflush(stdout) == 0 ? 0 : 1;
}
