#include "wire/message.h"

#include "base/deadline.h"
#include "base/utf8.h"
#include "wire/little.h"
#include "wire/packed.h"
#include "wire/pairs.h"
#include "wire/read.h"
#include "wire/varint.h"

#include <assert.h>
#include <string.h>

#define MESSAGE_TREE_BYTES (WIRE_TREE_CHILDREN * 4)
#define MESSAGE_NUMBER_MAX ((UINT64_C(1) << 56) - 1) /* of a block */

/* The fields of the datagram's own map. */
enum message_field {
    MESSAGE_KEY,
    MESSAGE_VECTOR,
    MESSAGE_TTL,
    MESSAGE_FULL,
    MESSAGE_X,
    MESSAGE_FIELDS
};

/* The fields of `x` of which there can be many entries, and `p`: bits of what was seen. */
static const char message_letters[] = { 'a', 'v', 'L', 'B', 'w', 'b', 'p' };

/* Whether all bytes are from 1 to 127, as those of most keys are: eight at a time, the last eight
 * perhaps once more. Short texts may be said to be otherwise. */
static bool text_is_simple(struct bytes text)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t bits = 0;
    uint64_t word;

    if (text.size < sizeof word) {
        return false;
    }
    for (size_t i = 0; i < text.size - sizeof word; i += sizeof word) {
        memcpy(&word, text.data + i, sizeof word);
        bits |= word | (word - ones);
    }
    memcpy(&word, text.data + text.size - sizeof word, sizeof word);
    bits |= word | (word - ones);
    return (bits & high) == 0;
}

/* A key, or something that has a key's form. */
static bool key_read(struct read *read, size_t least, struct bytes *key)
{
    if (!read_text(read, key)) {
        return false;
    }
    if (key->size < least || key->size > WIRE_KEY_BYTES_MAX) {
        return read_refuse(read, WIRE_BAD_KEY);
    }
    if (text_is_simple(*key)) {
        return true;
    }
    for (size_t i = 0; i < key->size; i++) {
        if (key->data[i] == 0) {
            return read_refuse(read, WIRE_BAD_KEY);
        }
    }
    return utf8_valid(*key) || read_refuse(read, WIRE_BAD_KEY);
}

/* Pass over pairs as they mostly are, an index of one or three bytes and a value of one; returns
 * how many are left to be looked at closely. `least` is the index from which on the next one rises;
 * `rises` is cleared where one does not. Branches on purpose: they are foreseen, where a table of
 * sizes would make each load wait for the one before. Watched by bench/decode. */
static uint32_t pairs_pass(struct read *read, uint32_t pairs, uint64_t *least, bool *rises)
{
    const uint8_t *at = read->at;
    const uint8_t *const end = read->end;
    uint64_t from = *least;

    for (; pairs > 0 && end - at >= 4; pairs--) {
        uint64_t index;

        if (pair_is_common(at)) {
            index = (uint64_t)at[1] << 8 | at[2];
            at += 4;
        } else if (at[0] < 0x80 && at[1] < 0x80) {
            index = at[0];
            at += 2;
        } else {
            break;
        }
        if (index < from) {
            *rises = false;
        }
        from = index + 1;
    }
    *least = from;
    read->at = at;
    return pairs;
}

/* A map of elements: judge every pair, and leave a view of them. One that does not rise is to be
 * sorted before it is walked. */
static bool map_read(struct read *read, struct elements *elements)
{
    uint64_t least = 0;
    bool rises = true;
    uint32_t left;

    if (!read_map(read, &left)) {
        return false;
    }
    *elements = (struct elements){ .rest = read_rest(read), .left = left };
    while (left > 0) {
        uint64_t index;
        uint64_t value;

        left = pairs_pass(read, left, &least, &rises);
        if (left > 0) {
            if (!read_number(read, &index) || !read_number(read, &value)) {
                return false;
            }
            left--;
            rises = rises && index >= least && (index < UINT64_MAX || left == 0);
            least = index + 1;
        }
    }
    elements->rest.size -= (size_t)(read->end - read->at);
    elements->form = rises ? ELEMENTS_MAP : ELEMENTS_UNSORTED;
    return true;
}

static bool map_next(struct elements *elements, struct block_room *room, struct block *block)
{
    const uint8_t *at = elements->rest.data;
    const uint8_t *const end = at + elements->rest.size;
    uint32_t left = elements->left;
    uint64_t number = 0;
    unsigned count = 0;

    for (; left > 0; left--) {
        const struct pair pair = pair_next(at, end);

        if (pair.value != 0) {
            if (count > 0 && pair.index >> 8 != number) {
                break;
            }
            number = pair.index >> 8;
            room->offsets[count] = (uint8_t)pair.index;
            room->values[count] = pair.value;
            count++;
        }
        at = pair.next;
    }
    elements->rest = (struct bytes){ at, (size_t)(end - at) };
    elements->left = left;
    if (count == 0) {
        return false;
    }
    *block = block_unpacked(room, number, count);
    return true;
}

/* The name of an item's key, or its hash; with that, when it ends. */
static bool item_read_key(struct read *read, struct item *item)
{
    struct bytes bin;

    item->by_hash = read_bin_is_next(read);
    if (!item->by_hash) {
        return key_read(read, 1, &item->key);
    }
    if (!read_bin(read, &bin)) {
        return false;
    }
    if (bin.size != sizeof item->hash && bin.size != sizeof item->hash + sizeof item->deadline) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    item->hash = little_get64(bin.data);
    item->deadline = DEADLINE_NONE;
    if (bin.size == sizeof item->hash) {
        return true;
    }
    item->deadline = little_get32(bin.data + sizeof item->hash);
    return (item->deadline >= DEADLINE_MIN && item->deadline <= DEADLINE_MAX)
           || read_refuse(read, WIRE_BAD_ITEM);
}

static bool item_read_elements(struct read *read, struct item *item)
{
    struct bytes bin;

    if (read_map_is_next(read)) {
        return map_read(read, &item->elements);
    }
    if (!read_bin(read, &bin)) {
        return false;
    }
    return packed_judge(bin, &item->elements) || read_refuse(read, WIRE_BAD_ITEM);
}

uint32_t item_deadline(const struct item *item)
{
    return item->by_hash ? item->deadline : deadline_of(item->key);
}

/* Whether nothing is said of any element, not even that it is 0. */
static bool item_says_nothing(const struct item *item)
{
    return item->elements.form == ELEMENTS_MAP && item->elements.left == 0;
}

static bool item_read(struct read *read, struct item *item)
{
    uint32_t members;

    if (!read_array(read, &members)) {
        return false;
    }
    if (members < 2 || members > 4) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    *item = (struct item){ .full = false };
    if (!item_read_key(read, item) || !item_read_elements(read, item)
        || (members > 2 && !read_bool(read, &item->full))
        || (members > 3 && !read_number(read, &item->generation))) {
        return false;
    }
    if (item->by_hash && (item->generation == 0 || !item_says_nothing(item))) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    return true;
}

static bool ack_read(struct read *read, uint32_t *sequence)
{
    uint64_t number;

    if (!read_number_upto(read, UINT32_MAX, &number)) {
        return false;
    }
    *sequence = (uint32_t)number;
    return true;
}

/* Bits of a hash that are not in a prefix of so many nibbles. */
static uint64_t prefix_below(unsigned nibbles)
{
    return nibbles == 16 ? 0 : ~UINT64_C(0) >> (4 * nibbles);
}

/* The head of an entry of 4 members, or of up to `most`. */
static bool entry_begin(struct read *read, uint32_t most, uint32_t *members, uint8_t *set)
{
    uint64_t number;

    if (!read_array(read, members)) {
        return false;
    }
    if (*members < 4 || *members > most) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    if (!read_number_upto(read, 1, &number)) {
        return false;
    }
    *set = (uint8_t)number;
    return true;
}

static bool prefix_read(struct read *read, unsigned nibbles_max, struct prefix *prefix)
{
    uint32_t members;
    uint64_t nibbles;

    if (!entry_begin(read, 4, &members, &prefix->set) || !read_number(read, &prefix->bits)
        || !read_number_upto(read, nibbles_max, &nibbles)) {
        return false;
    }
    if ((prefix->bits & prefix_below((unsigned)nibbles)) != 0) {
        return read_refuse(read, WIRE_BAD_NUMBER);
    }
    prefix->nibbles = (uint8_t)nibbles;
    return true;
}

static bool tree_read(struct read *read, struct wire_tree *view)
{
    struct bytes bin;

    if (!prefix_read(read, 15, &view->prefix) || !read_bin(read, &bin)) {
        return false;
    }
    if (bin.size != MESSAGE_TREE_BYTES) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        view->children[i] = little_get32(bin.data + 4 * (size_t)i);
    }
    return true;
}

static bool leaf_read(struct read *read, struct wire_leaf *view)
{
    uint64_t least;
    uint64_t most;

    if (!prefix_read(read, 16, &view->prefix) || !read_bin(read, &view->pairs)) {
        return false;
    }
    if (view->pairs.size % WIRE_LEAF_PAIR_BYTES != 0) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    least = view->prefix.bits;
    most = view->prefix.bits | prefix_below(view->prefix.nibbles);
    for (size_t i = 0; i < view->pairs.size / WIRE_LEAF_PAIR_BYTES; i++) {
        const uint64_t hash = wire_leaf_at(view, i).hash;

        if (hash < least || hash > most) {
            return read_refuse(read, WIRE_BAD_ITEM);
        }
        least = hash;
    }
    return true;
}

/* One digest of a block; `position` moves on. */
static bool block_digest_read(struct read *read, uint64_t *position, uint64_t *number,
                              uint32_t *digest)
{
    struct bytes bytes;
    uint64_t gap;

    if (!varint_read(read, &gap) || !read_bytes(read, 4, &bytes)) {
        return false;
    }
    if (*position > MESSAGE_NUMBER_MAX || gap > MESSAGE_NUMBER_MAX - *position) {
        return false;
    }
    *number = *position + gap;
    *position = *number + 1;
    *digest = little_get32(bytes.data);
    return true;
}

static bool blocks_read(struct read *read, struct wire_blocks *view)
{
    struct read inside;
    uint64_t position = 0;
    uint32_t members;

    view->generation = 0;
    if (!entry_begin(read, 5, &members, &view->set) || !read_number(read, &view->hash)
        || !read_bool(read, &view->more) || !read_bin(read, &view->rest)
        || (members > 4 && !read_number(read, &view->generation))) {
        return false;
    }
    view->position = 0;
    inside = read_begin(view->rest);
    while (inside.at < inside.end) {
        uint64_t number;
        uint32_t digest;

        if (!block_digest_read(&inside, &position, &number, &digest)) {
            return read_refuse(read, WIRE_BAD_ITEM);
        }
    }
    return true;
}

static bool wanted_read(struct read *read, struct run *wanted)
{
    struct bytes bin;

    if (!read_bin(read, &bin)) {
        return false;
    }
    if (bin.size % 8 != 0) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    *wanted = (struct run){ .rest = bin, .left = (uint32_t)(bin.size / 8) };
    return true;
}

/* One entry of a field, judged and forgotten. */
static bool entry_judge(struct read *read, char letter)
{
    union {
        struct item item;
        struct wire_tree tree;
        struct wire_leaf leaf;
        struct wire_blocks blocks;
        uint32_t sequence;
    } view;

    switch (letter) {
    case 'a': return ack_read(read, &view.sequence);
    case 'v': return tree_read(read, &view.tree);
    case 'L': return leaf_read(read, &view.leaf);
    case 'B': return blocks_read(read, &view.blocks);
    default: assert(letter == 'b'); return item_read(read, &view.item);
    }
}

static bool run_read(struct read *read, char letter, struct run *run)
{
    if (!read_array(read, &run->left)) {
        return false;
    }
    run->rest = read_rest(read);
    for (uint32_t i = 0; i < run->left; i++) {
        if (!entry_judge(read, letter)) {
            return false;
        }
    }
    run->rest.size -= (size_t)(read->end - read->at);
    return true;
}

/* A field of `x` that is known by its letter. `seen` has a bit for each of message_letters. */
static bool field_read(struct read *read, char letter, struct message *message, unsigned *seen)
{
    const struct envelope_field *const fixed = envelope_find((uint8_t)letter);
    unsigned at = 0;

    if (fixed != NULL) {
        return envelope_read(&message->envelope, fixed, read);
    }
    while (at < sizeof message_letters && message_letters[at] != letter) {
        at++;
    }
    if (at == sizeof message_letters) {
        return read_skip(read, 2);
    }
    if ((*seen >> at & 1) != 0) {
        return read_refuse(read, WIRE_TWICE);
    }
    *seen |= 1u << at;
    switch (letter) {
    case 'a': return run_read(read, letter, &message->acks);
    case 'v': return run_read(read, letter, &message->tree);
    case 'L': return run_read(read, letter, &message->leaves);
    case 'B': return run_read(read, letter, &message->block_digests);
    case 'b': return run_read(read, letter, &message->items);
    case 'w': return wanted_read(read, &message->wanted);
    default: assert(letter == 'p'); return key_read(read, 1, &message->probe_target);
    }
}

static bool x_read(struct read *read, struct message *message)
{
    uint32_t pairs;
    unsigned seen = 0;

    if (!read_map_is_next(read)) {
        return read_skip(read, 1);
    }
    message->extended = true;
    if (!read_map(read, &pairs)) {
        return false;
    }
    for (uint32_t i = 0; i < pairs; i++) {
        struct bytes name = { NULL, 0 };
        bool valid;

        valid = read_text_is_next(read) ? read_text(read, &name) : read_skip(read, 2);
        if (!valid) {
            return false;
        }
        valid = name.size == 1 ? field_read(read, (char)name.data[0], message, &seen)
                               : read_skip(read, 2);
        if (!valid) {
            return false;
        }
    }
    return true;
}

static bool ttl_read(struct read *read, struct message *message)
{
    uint64_t ttl;

    if (!read_number(read, &ttl)) {
        return false;
    }
    message->has_ttl = true;
    message->ttl = ttl < WIRE_TTL_MAX ? (uint8_t)ttl : WIRE_TTL_MAX;
    return true;
}

static enum message_field field_find(struct bytes name)
{
    switch (name.size) {
    case 1: return name.data[0] == 'x' ? MESSAGE_X : MESSAGE_FIELDS;
    case 3:
        if (memcmp(name.data, "key", 3) == 0) {
            return MESSAGE_KEY;
        }
        return memcmp(name.data, "ttl", 3) == 0 ? MESSAGE_TTL : MESSAGE_FIELDS;
    case 4: return memcmp(name.data, "full", 4) == 0 ? MESSAGE_FULL : MESSAGE_FIELDS;
    case 6: return memcmp(name.data, "vector", 6) == 0 ? MESSAGE_VECTOR : MESSAGE_FIELDS;
    default: return MESSAGE_FIELDS;
    }
}

/* One pair of the datagram's own map. `seen` has a bit for each enum message_field. */
static bool pair_read(struct read *read, struct message *message, unsigned *seen)
{
    enum message_field field;
    struct bytes name;

    if (!read_text_is_next(read)) {
        const bool passed = read_skip(read, 1);

        return passed && read_skip(read, 1);
    }
    if (!read_text(read, &name)) {
        return false;
    }
    field = field_find(name);
    if (field == MESSAGE_FIELDS) {
        return read_skip(read, 1);
    }
    if ((*seen >> field & 1) != 0) {
        return read_refuse(read, WIRE_TWICE);
    }
    *seen |= 1u << field;
    switch (field) {
    case MESSAGE_KEY: return key_read(read, 0, &message->plain.key);
    case MESSAGE_VECTOR: return map_read(read, &message->plain.elements);
    case MESSAGE_TTL: return ttl_read(read, message);
    case MESSAGE_FULL: return read_bool(read, &message->plain.full);
    default: assert(field == MESSAGE_X); return x_read(read, message);
    }
}

/* What can be said only when all fields are there. */
static enum wire_drop message_judge(const struct message *message, unsigned seen, size_t size)
{
    if ((seen >> MESSAGE_KEY & 1) == 0) {
        return WIRE_NO_KEY;
    }
    if (message->extended && size > WIRE_EXTENDED_BYTES_MAX) {
        return WIRE_TOO_LONG;
    }
    if (message->plain.key.size == 0 && (!message->extended || message->plain.elements.left > 0)) {
        return WIRE_BAD_KEY;
    }
    return WIRE_OK;
}

static void run_clear(struct run *run)
{
    run->rest = (struct bytes){ NULL, 0 };
    run->left = 0;
}

/* Member by member: a compiler clears or copies the whole by a string instruction, which takes
 * longer to start than a short message to read. What `order` has is written before it is read. */
static void message_clear(struct message *message)
{
    message->plain = (struct item){ .full = false };
    message->envelope = (struct envelope){ .has = 0 };
    run_clear(&message->acks);
    run_clear(&message->tree);
    run_clear(&message->leaves);
    run_clear(&message->block_digests);
    run_clear(&message->wanted);
    run_clear(&message->items);
    message->probe_target = (struct bytes){ NULL, 0 };
    message->ttl = WIRE_TTL_MAX;
    message->has_ttl = false;
    message->extended = false;
}

enum wire_drop message_decode(struct bytes datagram, struct message *message)
{
    struct read read;
    enum wire_drop drop;
    uint32_t pairs;
    unsigned seen = 0;

    if (datagram.size == 0) {
        return WIRE_TRUNCATED;
    }
    if (datagram.size > WIRE_DATAGRAM_BYTES_MAX) {
        return WIRE_TOO_LONG;
    }
    message_clear(message);
    read = read_begin(datagram);
    if (!read_map_is_next(&read)) {
        return WIRE_NOT_A_MAP;
    }
    if (!read_map(&read, &pairs)) {
        return read.drop;
    }
    for (uint32_t i = 0; i < pairs; i++) {
        if (!pair_read(&read, message, &seen)) {
            return read.drop;
        }
    }
    if (read.at < read.end) {
        return WIRE_TRAILING;
    }
    drop = message_judge(message, seen, datagram.size);
    if (message->plain.elements.form == ELEMENTS_UNSORTED && drop == WIRE_OK) {
        pairs_sort(&message->plain.elements, message->order);
    }
    message->items.order = message->order + message->plain.elements.left;
    return drop;
}

bool elements_next(struct elements *elements, struct block_room *room, struct block *block)
{
    switch (elements->form) {
    case ELEMENTS_MAP: return elements->left > 0 && map_next(elements, room, block);
    case ELEMENTS_SORTED: return pairs_next(elements, room, block);
    default: return packed_next(elements, room, block);
    }
}

/* The cursors read with what judged: it cannot fail a second time. */
static bool run_begin(const struct run *run, struct read *read)
{
    if (run->left == 0) {
        return false;
    }
    *read = read_begin(run->rest);
    return true;
}

static void run_end(struct run *run, const struct read *read, bool valid)
{
    assert(valid);
    run->rest = read_rest(read);
    run->left--;
}

bool message_next_item(struct run *items, struct item *item)
{
    struct read read;

    if (!run_begin(items, &read)) {
        return false;
    }
    run_end(items, &read, item_read(&read, item));
    if (item->elements.form == ELEMENTS_UNSORTED) {
        pairs_sort(&item->elements, items->order);
    }
    if (items->order != NULL) {
        items->order += item->elements.left; /* of all maps together no more than WIRE_PAIRS_MAX */
    }
    return true;
}

bool items_judge(struct bytes bytes, struct run *items)
{
    struct read read = read_begin(bytes);

    *items = (struct run){ .left = 0 };
    if (!read_array(&read, &items->left)) {
        return false;
    }
    items->rest = read_rest(&read);
    for (uint32_t i = 0; i < items->left; i++) {
        struct item item;

        if (!item_read(&read, &item) || item.elements.form == ELEMENTS_UNSORTED) {
            return false;
        }
    }
    return read.at == read.end;
}

bool message_next_ack(struct run *acks, uint32_t *sequence)
{
    struct read read;

    if (!run_begin(acks, &read)) {
        return false;
    }
    run_end(acks, &read, ack_read(&read, sequence));
    return true;
}

bool message_next_wanted(struct run *wanted, uint64_t *hash)
{
    struct read read;

    if (!run_begin(wanted, &read)) {
        return false;
    }
    *hash = little_get64(read.at);
    read.at += sizeof *hash;
    run_end(wanted, &read, true);
    return true;
}

bool message_next_tree(struct run *tree, struct wire_tree *view)
{
    struct read read;

    if (!run_begin(tree, &read)) {
        return false;
    }
    run_end(tree, &read, tree_read(&read, view));
    return true;
}

bool message_next_leaf(struct run *leaves, struct wire_leaf *view)
{
    struct read read;

    if (!run_begin(leaves, &read)) {
        return false;
    }
    run_end(leaves, &read, leaf_read(&read, view));
    return true;
}

struct wire_leaf_pair wire_leaf_at(const struct wire_leaf *leaf, size_t position)
{
    const uint8_t *at;

    assert(position < leaf->pairs.size / WIRE_LEAF_PAIR_BYTES);
    at = leaf->pairs.data + position * WIRE_LEAF_PAIR_BYTES;
    return (struct wire_leaf_pair){ little_get64(at), little_get32(at + 8) };
}

bool message_next_blocks(struct run *block_digests, struct wire_blocks *view)
{
    struct read read;

    if (!run_begin(block_digests, &read)) {
        return false;
    }
    run_end(block_digests, &read, blocks_read(&read, view));
    return true;
}

bool wire_blocks_next(struct wire_blocks *view, uint64_t *number, uint32_t *digest)
{
    struct read read;
    bool valid;

    if (view->rest.size == 0) {
        return false;
    }
    read = read_begin(view->rest);
    valid = block_digest_read(&read, &view->position, number, digest);
    assert(valid); /* blocks_read() has said so */
    view->rest = read_rest(&read);
    return true;
}
