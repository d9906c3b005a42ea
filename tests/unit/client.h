#ifndef UNIT_CLIENT_H
#define UNIT_CLIENT_H

/* A client's update of one key, as the HTTP handlers make it: judged whole, then joined. */

#include "node/node.h"

struct client_done {
    struct merge_result last; /* of the last block */
    uint64_t elements_raised;
    size_t joined; /* blocks */
    bool created;
};

static inline enum status client_write(struct node *node, struct moment now, struct bytes key,
                                       const struct vector *elements, struct client_done *done)
{
    struct node_update update;
    struct block_room room;
    struct fault why;
    enum status status = node_update_begin(node, key, &update, &why);

    *done = (struct client_done){ 0 };
    for (size_t i = 0; i < vector_blocks(elements) && status == STATUS_OK; i++) {
        const struct block block = vector_block(elements, i, &room);

        status = node_update_check(&update, &block, &why);
    }
    for (size_t i = 0; i < vector_blocks(elements) && status == STATUS_OK; i++) {
        const struct block block = vector_block(elements, i, &room);

        status = node_update_join(node, now, &update, &block, &done->last, &why);
        done->joined += status == STATUS_OK;
    }
    if (status == STATUS_OK) {
        done->elements_raised = update.elements_raised;
        done->created = update.created;
    }
    return status;
}

/* The same of one element. */
static inline enum status client_write_one(struct node *node, struct moment now, struct bytes key,
                                           uint64_t index, uint64_t value, struct client_done *done)
{
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct mem mem = { 0 };
    struct client_done unwanted;
    struct vector vector;
    enum status status;

    vector_init(&vector);
    status = vector_merge(&vector, &mem, &block, 0, NULL);
    if (status == STATUS_OK) {
        status = client_write(node, now, key, &vector, done == NULL ? &unwanted : done);
    }
    vector_clear(&vector, &mem);
    return status;
}

#endif /* UNIT_CLIENT_H */
