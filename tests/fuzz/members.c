#include "fuzz/members.h"

#include "wire/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "defaults.h"

#define EMITS_MAX   64 /* of one turn; what is left leaves in the next */
#define STORE_BYTES (UINT64_C(8) << 20)

static const struct address_range trusted = {
    .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = 0, [14] = 0, [15] = 0 },
    .bits = 120,
};

static struct address address_of(uint8_t network, unsigned number)
{
    return (struct address){
        .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [14] = network, [15] = (uint8_t)number },
        .port = 6000,
    };
}

struct address member_address(unsigned member)
{
    return address_of(0, 1 + member);
}

struct address stranger_address(unsigned stranger)
{
    return address_of(stranger < STRANGERS / 2 ? 0 : 1, 100 + stranger);
}

struct node_options members_options(unsigned member)
{
    return (struct node_options){
        NODE_DEFAULTS,
        .self = member_address(member),
        .seed = 100 + member,
        .token_secret = { (uint8_t)(member + 1) },
        .http_port = (uint16_t)(8000 + member),
        .trust = &trusted,
        .trust_count = 1,
    };
}

static void member_start(struct members *members, unsigned number)
{
    struct member *member = &members->list[number];
    const struct address seed = member_address(number == 0 ? 1 : 0);
    const struct table_options table_options = {
        .mem = &member->store_mem,
        .hash_secret = { (uint8_t)(number + 1) },
        .keys_max = 200,
        .digest_mask = UINT64_MAX,
    };
    struct node_options options = members_options(number);

    member->store_mem = (struct mem){ .limit_bytes = STORE_BYTES };
    member->node_mem = (struct mem){ .limit_bytes = STORE_BYTES };
    options.start_s_min = members->now.unix_s;
    if (table_create(&table_options, &member->table) != STATUS_OK
        || node_create(&options, &member->node_mem, member->table, members->now, &member->node)
               != STATUS_OK) {
        abort();
    }
    node_seeds(member->node, members->now, &seed, 1);
    members_turn(members, number);
}

static void member_end(struct member *member)
{
    node_free(member->node);
    table_free(member->table);
    assert(member->node_mem.used_bytes == 0);
    assert(member->store_mem.used_bytes == 0);
}

void members_create(struct members *members)
{
    memset(members, 0, sizeof *members);
    members->now = (struct moment){ .mono_us = 1000000, .unix_s = MEMBERS_UNIX_S };
    for (unsigned i = 0; i < MEMBERS; i++) {
        member_start(members, i);
    }
}

void members_free(struct members *members)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        member_end(&members->list[i]);
    }
}

void members_restart(struct members *members, unsigned member)
{
    member_end(&members->list[member]);
    member_start(members, member);
}

/* The member, or MEMBERS, of an address; the same for strangers. */
static unsigned member_of(const struct address *address)
{
    unsigned i = 0;

    while (i < MEMBERS) {
        const struct address own = member_address(i);

        if (address_compare(address, &own) == 0) {
            break;
        }
        i++;
    }
    return i;
}

static unsigned stranger_of(const struct address *address)
{
    unsigned i = 0;

    while (i < STRANGERS) {
        const struct address own = stranger_address(i);

        if (address_compare(address, &own) == 0) {
            break;
        }
        i++;
    }
    return i;
}

static void stranger_hears(struct heard *heard, const struct message *message)
{
    if ((message->envelope.has & WIRE_HAS_TOKEN) != 0) {
        memcpy(heard->token, message->envelope.token, sizeof heard->token);
    }
    if ((message->envelope.has & WIRE_HAS_SEQUENCE) != 0) {
        heard->sequence = message->envelope.sequence;
    }
    heard->sender_id = message->envelope.sender_id;
}

static void datagram_leaves(struct members *members, unsigned from, const struct address *to,
                            struct bytes datagram)
{
    const unsigned stranger = stranger_of(to);
    struct message message;
    struct sent *sent = &members->recorded[members->recorded_count++ % MEMBERS_RECORDED];

    *sent = (struct sent){ .from = member_address(from), .to = *to, .size = datagram.size };
    memcpy(sent->data, datagram.data, datagram.size);
    /* No node writes what another one refuses, nor a plain frame that a prototype cannot hold. */
    assert(message_decode(datagram, &message) == WIRE_OK);
    assert(message.extended || datagram.size <= WIRE_PLAIN_BYTES_MAX);
    if (stranger < STRANGERS && message.extended) {
        stranger_hears(&members->heard[stranger][from], &message);
    }
    if (member_of(to) == MEMBERS) {
        return;
    }
    if (members->queued == MEMBERS_QUEUE) {
        members->first = (members->first + 1) % MEMBERS_QUEUE;
        members->queued--;
    }
    members->queue[(members->first + members->queued++) % MEMBERS_QUEUE] = *sent;
}

void members_turn(struct members *members, unsigned member)
{
    struct node *node = members->list[member].node;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };

    if (members->now.mono_us >= node_due_us(node)) {
        node_tick(node, members->now);
    }
    for (unsigned i = 0; i < EMITS_MAX; i++) {
        struct address to;
        const size_t size = node_emit(node, members->now, space, &to);

        if (size == 0) {
            break;
        }
        assert(size <= sizeof buffer);
        datagram_leaves(members, member, &to, (struct bytes){ buffer, size });
    }
    node_turn_end(node);
}

void members_receive(struct members *members, unsigned member, const struct address *from,
                     struct bytes datagram)
{
    struct node *node = members->list[member].node;
    const uint64_t before = node_work(node);

    node_receive(node, members->now, from, datagram);
    assert(node_work(node) - before <= node_datagram_work_max(datagram.size));
    members_turn(members, member);
}

void members_deliver(struct members *members, unsigned most)
{
    for (unsigned i = 0; i < most && members->queued > 0; i++) {
        const struct sent sent = members->queue[members->first];

        members->first = (members->first + 1) % MEMBERS_QUEUE;
        members->queued--;
        members_receive(members, member_of(&sent.to), &sent.from,
                        (struct bytes){ sent.data, sent.size });
    }
}

void members_pass(struct members *members, uint64_t us)
{
    members->now.mono_us += us;
    members->now.unix_s = MEMBERS_UNIX_S + members->now.mono_us / 1000000;
    for (unsigned i = 0; i < MEMBERS; i++) {
        members_turn(members, i);
    }
    members_deliver(members, MEMBERS_QUEUE);
}

void members_audit(const struct members *members)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        node_audit(members->list[i].node);
        table_audit(members->list[i].table);
    }
}
