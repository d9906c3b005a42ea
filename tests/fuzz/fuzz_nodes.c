/* Several whole nodes, each other's members, and strangers who send them what an input says: real
 * datagrams again, cut and changed, and forged ones, plain and extended, of every field there is.
 * Clients write meanwhile, nodes restart, leave, are configured anew and run out of memory.
 *
 * What must hold: after each step every audit of nodes and tables (and with them of vectors), no
 * assertion anywhere, and no memory left at the end. */

#include "store/vector.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/forge.h"
#include "fuzz/input.h"
#include "fuzz/members.h"
#include "unit/client.h"

#define STEPS_MAX  64
#define JOIN_US    UINT64_C(300000)
#define JOIN_STEPS 8
#define RULES_MAX  2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes text(const char *string)
{
    return (struct bytes){ (const uint8_t *)string, strlen(string) };
}

/* Refusals are answers as good as any; other statuses are not to come from a node. */
static void answered(enum status status)
{
    assert(status == STATUS_OK || status == STATUS_CONFLICT || status == STATUS_INVALID
           || status == STATUS_FULL || status == STATUS_MEMORY);
}

/* A client's update of one key at a member. */
static void member_write(struct members *members, struct input *input)
{
    const unsigned member = input_below(input, MEMBERS);
    struct member *at = &members->list[member];
    const unsigned count = input_below(input, 64);
    struct mem mem = { 0 };
    struct client_done done;
    struct vector vector;
    uint8_t room[64];
    const struct bytes key = forge_key(input, room);
    uint64_t index = 0;

    vector_init(&vector);
    for (unsigned i = 0; i < count; i++) {
        uint64_t value;
        uint8_t offset;

        index = input_index(input, index);
        value = input_number(input);
        offset = (uint8_t)index;
        if (value != 0) {
            const struct block block = {
                .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
            };

            if (vector_merge(&vector, &mem, &block, 0, NULL) != STATUS_OK) {
                abort();
            }
        }
    }
    vector_audit(&vector);
    answered(client_write(at->node, members->now, key, &vector, &done));
    vector_clear(&vector, &mem);
    members_turn(members, member);
}

/* A sketch, and a vector of many blocks: what repairs are made of. */
static void client_fill(struct members *members, struct input *input)
{
    const unsigned member = input_below(input, MEMBERS);
    const unsigned blocks = 1U << input_below(input, 10);
    const uint64_t first = input_number(input);
    struct member *at = &members->list[member];
    struct mem mem = { 0 };
    struct client_done done;
    struct vector vector;
    uint64_t values[2] = { 1, 300 };
    const uint8_t offsets[2] = { 0, 255 };

    vector_init(&vector);
    for (unsigned i = 0; i < blocks; i++) {
        const struct block block = { .number = (first + i) & 0xffffffffffffff,
                                     .values = values,
                                     .offsets = offsets,
                                     .count = 2,
                                     .width = 8 };

        if (vector_merge(&vector, &mem, &block, 0, NULL) != STATUS_OK) {
            abort();
        }
    }
    answered(client_write(at->node, members->now, text("sketch"), &vector, &done));
    vector_clear(&vector, &mem);
    members_turn(members, member);
}

/* Many keys at once: queues that need an index, trees that grow, answers in several datagrams. */
static void client_keys(struct members *members, struct input *input)
{
    const unsigned member = input_below(input, MEMBERS);
    const unsigned count = input_below(input, 64);
    const uint64_t index = input_number(input);
    const uint8_t offset = (uint8_t)index;
    const uint64_t value = 1 + input_byte(input);
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct mem mem = { 0 };
    struct client_done done;
    struct vector vector;

    vector_init(&vector);
    if (vector_merge(&vector, &mem, &block, 0, NULL) != STATUS_OK) {
        abort();
    }
    for (unsigned i = 0; i < count; i++) {
        const uint8_t key[] = { 'k', (uint8_t)('A' + i / 16), (uint8_t)('a' + i % 16) };
        const struct bytes name = { key, sizeof key };

        answered(client_write(members->list[member].node, members->now, name, &vector, &done));
    }
    vector_clear(&vector, &mem);
    members_turn(members, member);
}

static void stranger_send(struct members *members, struct input *input, unsigned form)
{
    const struct forge forge = { .members = members,
                                 .stranger = input_below(input, STRANGERS),
                                 .member = input_below(input, MEMBERS) };
    const struct address from = stranger_address(forge.stranger);
    uint8_t *const buffer = malloc(FORGE_BYTES_MAX);
    size_t size;

    if (buffer == NULL) {
        abort();
    }
    switch (form) {
    case 0: size = forge_plain(&forge, input, buffer); break;
    case 1: size = forge_hello(&forge, input, buffer); break;
    default: size = forge_extended(&forge, input, buffer); break;
    }
    members_receive(members, forge.member, &from, (struct bytes){ buffer, size });
    free(buffer);
}

/* One that left before, again: to whoever, from whoever, whole or not. */
static void replay(struct members *members, struct input *input)
{
    const size_t known =
        members->recorded_count < MEMBERS_RECORDED ? members->recorded_count : MEMBERS_RECORDED;
    const unsigned form = input_byte(input);
    struct address from;
    struct sent sent;

    if (known == 0) {
        return;
    }
    sent = members->recorded[input_below(input, (unsigned)known)];
    from = (form & 1) != 0 ? stranger_address(input_below(input, STRANGERS)) : sent.from;
    if ((form & 2) != 0) {
        sent.size -= input_byte(input) % (sent.size + 1);
    }
    for (unsigned i = form >> 5; i > 0 && sent.size > 0; i--) {
        const size_t at = ((size_t)input_byte(input) << 8 | input_byte(input)) % sent.size;

        sent.data[at] ^= (uint8_t)(1 + input_below(input, 255));
    }
    members_receive(members, input_below(input, MEMBERS), &from,
                    (struct bytes){ sent.data, sent.size });
}

static void raw_send(struct members *members, struct input *input)
{
    const unsigned member = input_below(input, MEMBERS);
    const struct address from = stranger_address(input_below(input, STRANGERS));

    members_receive(members, member, &from, input_bytes(input, 1U + input_byte(input)));
}

static void configure(struct members *members, struct input *input)
{
    const unsigned member = input_below(input, MEMBERS);
    const unsigned form = input_byte(input);
    struct node_options options = members_options(member);
    const struct node_value_rule rules[RULES_MAX] = {
        { .pattern = text("k%"), .value_max = input_number(input) },
        { .pattern = text("*"), .value_max = input_number(input) },
    };

    options.value_rules = rules;
    options.value_rules_count = form % (RULES_MAX + 1);
    options.trust_count = form >> 2 & 1;
    options.search_max = input_byte(input);
    if ((form & 8) != 0) {
        options.bytes_per_second_max = 2000 + input_number(input) % 1000000;
    }
    if ((form & 16) != 0) {
        options.batch_delay_us = input_number(input) % 1000000;
    }
    table_set_keys_max(members->list[member].table, (form & 32) != 0 ? input_byte(input) : 200);
    answered(node_configure(members->list[member].node, members->now, &options));
    members_turn(members, member);
}

static void introduce(struct members *members, struct input *input)
{
    const unsigned member = input_below(input, MEMBERS);
    struct node *node = members->list[member].node;
    const unsigned whom = input_below(input, MEMBERS + STRANGERS);
    const struct address address =
        whom < MEMBERS ? member_address(whom) : stranger_address(whom - MEMBERS);
    struct fault why;

    switch (input_below(input, 4)) {
    case 0: answered(node_introduce(node, members->now, &address, &why)); break;
    case 1: answered(node_forget(node, members->now, &address, &why)); break;
    case 2: node_seeds(node, members->now, &address, 1); break;
    default: node_leave(node, members->now); break;
    }
    members_turn(members, member);
}

static void fail_memory(struct members *members, struct input *input)
{
    struct member *member = &members->list[input_below(input, MEMBERS)];
    const unsigned form = input_byte(input);

    if ((form & 1) != 0) {
        member->store_mem.fail_countdown = 1U + (form >> 1);
    } else {
        member->node_mem.fail_countdown = 1U + (form >> 1);
    }
}

static void pass(struct members *members, struct input *input)
{
    static const uint64_t spans_us[] = {
        1,       1000,    10000,    50000,    250000,    1000000,
        1000000, 3000000, 10000000, 60000000, 700000000, 90000000
    };

    members_pass(members, spans_us[input_below(input, sizeof spans_us / sizeof *spans_us)]);
}

static void step(struct members *members, struct input *input)
{
    switch (input_below(input, 20)) {
    case 0:
    case 1: member_write(members, input); break;
    case 2:
        if (input_rarely(input, 2)) {
            client_fill(members, input);
        } else {
            client_keys(members, input);
        }
        break;
    case 3:
    case 4:
    case 5: stranger_send(members, input, 0); break;
    case 6: stranger_send(members, input, 1); break;
    case 7:
    case 8:
    case 9:
    case 10: stranger_send(members, input, 2); break;
    case 11: replay(members, input); break;
    case 12: raw_send(members, input); break;
    case 13: configure(members, input); break;
    case 14: introduce(members, input); break;
    case 15: fail_memory(members, input); break;
    case 16: members_restart(members, input_below(input, MEMBERS)); break;
    case 17: members_deliver(members, 1U + input_below(input, MEMBERS_QUEUE)); break;
    default: pass(members, input); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, data + size };
    struct members *const members = malloc(sizeof *members);

    if (members == NULL) {
        abort();
    }
    members_create(members);
    for (unsigned i = 0; i < JOIN_STEPS; i++) {
        members_pass(members, JOIN_US);
    }
    for (unsigned i = 0; i < STEPS_MAX && !input_is_over(&input); i++) {
        step(members, &input);
        members_audit(members);
    }
    members_pass(members, JOIN_US);
    members_audit(members);
    members_free(members);
    free(members);
    return 0;
}
