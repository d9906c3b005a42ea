/* A datagram of any bytes: read it, walk everything that is in it, and where it is a plain message
 * write its elements again and read them back. Run by libFuzzer (make fuzz) or by replay.c.
 *
 * What must hold: no reading outside the bytes (the sanitizers see to that), no assertion of the
 * wire room, blocks as wire/block.h promises them, and never more than 86 elements a byte. */

#include "wire/message.h"
#include "wire/writer.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Walk elements; each block comes once, rising. Returns how many elements there are. */
static size_t elements_walk(struct elements elements)
{
    struct block_room room;
    struct block block;
    uint64_t least = 0;
    size_t count = 0;

    while (elements_next(&elements, &room, &block)) {
        block_audit(&block);
        assert(block.number >= least);
        least = block.number + 1;
        for (unsigned i = 0; i < block.count; i++) {
            assert(block_value(&block, i) != 0);
        }
        count += block.count;
    }
    return count;
}

/* What a deleted key's item says is what one that is written says. */
static void tombstone_rewrite(const struct item *item)
{
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct envelope none = { .has = 0 };
    struct writer writer;
    struct message again;
    struct item read;

    writer_begin_ordinary(&writer, (struct space){ buffer, sizeof buffer }, &none);
    assert(writer_put_tombstone(&writer, item->hash, item->deadline, item->generation));
    assert(message_decode(writer_end(&writer), &again) == WIRE_OK);
    assert(message_next_item(&again.items, &read));
    assert(read.by_hash && read.hash == item->hash && read.generation == item->generation);
    assert(read.deadline == item->deadline);
}

static size_t x_walk(struct message *message)
{
    struct item item;
    struct wire_tree tree;
    struct wire_leaf leaf;
    struct wire_blocks blocks;
    uint64_t number;
    uint64_t before;
    uint32_t word;
    size_t count = 0;

    while (message_next_item(&message->items, &item)) {
        assert(item.by_hash ? item.key.size == 0 && item.generation > 0 : item.key.size >= 1);
        assert(item.key.size <= WIRE_KEY_BYTES_MAX);
        count += elements_walk(item.elements);
        assert(!item.by_hash || elements_walk(item.elements) == 0);
        if (item.by_hash) {
            tombstone_rewrite(&item);
        }
    }
    while (message_next_ack(&message->acks, &word)) {
    }
    while (message_next_wanted(&message->wanted, &number)) {
    }
    while (message_next_tree(&message->tree, &tree)) {
        assert(tree.prefix.nibbles < 16);
    }
    while (message_next_leaf(&message->leaves, &leaf)) {
        for (size_t i = 0; i < leaf.pairs.size / WIRE_LEAF_PAIR_BYTES; i++) {
            number = wire_leaf_at(&leaf, i).hash;
            assert((number & leaf.prefix.bits) == leaf.prefix.bits);
        }
    }
    while (message_next_blocks(&message->block_digests, &blocks)) {
        before = 0;
        while (wire_blocks_next(&blocks, &number, &word)) {
            assert(number >= before);
            before = number + 1;
        }
    }
    return count;
}

/* Write each block of a message into a datagram of its own, and find it there again. */
static void plain_rewrite(const struct message *message)
{
    struct elements elements = message->plain.elements;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    const struct envelope none = { .has = 0 };
    struct block_room room;
    struct block block;

    while (elements_next(&elements, &room, &block)) {
        struct writer writer;
        struct message again;
        struct item item;
        unsigned next;
        unsigned count = 0;

        writer_begin_ordinary(&writer, space, &none);
        if (!writer_begin_item(&writer, message->plain.key, message->plain.full, block.number)) {
            return;
        }
        next = writer_put_block(&writer, &block, NULL);
        writer_end_item(&writer);
        assert(message_decode(writer_end(&writer), &again) == WIRE_OK);
        while (count < block.count && block_offset(&block, count) < next) {
            count++;
        }
        assert(count > 0);
        assert(message_next_item(&again.items, &item));
        assert(item.full == message->plain.full);
        assert(item.generation == block.number);
        assert(elements_walk(item.elements) == count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message message;
    size_t count;

    if (size > WIRE_DATAGRAM_BYTES_MAX
        || message_decode((struct bytes){ data, size }, &message) != WIRE_OK) {
        return 0;
    }
    count = elements_walk(message.plain.elements);
    if (message.plain.key.size > 0) {
        plain_rewrite(&message);
    }
    count += x_walk(&message);
    assert(count <= 86 * size);
    return 0;
}
