#ifndef HTTP_API_ACKS_H
#define HTTP_API_ACKS_H

/* `?ack=N`: an update is answered once N other nodes have it in memory, or with 202 and how many do
 * after ACKS_WAIT_US. Whether they have it their digests tell, which are asked for as long as
 * somebody waits (node_acks()). Called by api_update.c, api_bulk.c and api_delete.c once all is
 * applied, and before the answer is begun. */

#include "http/api.h"

#define ACKS_MAX     100     /* for more than that, ask one by one: each look asks as many nodes */
#define ACKS_WAIT_US 5000000 /* probes find a dead node in less; longer, clients give up */

struct acks {
    uint64_t wanted;  /* 0: none, nothing is waited for */
    uint64_t turn_us; /* of the turn in which the last was applied; 0: not yet */
    uint32_t reached;
};

/* Read the parameter. False: it is wrong, the request is refused. */
bool acks_read(struct http_request *request, struct acks *acks);

/* To be called in the step in which the last was applied, and from then on whenever the request is
 * woken. HTTP_STEP_SLEEP: return it; HTTP_STEP_DONE: answer. */
enum http_step acks_wait(struct http_request *request, const struct http_context *context,
                         struct acks *acks);

/* The code of an answer that is else `code`, and its member "acks", where it was asked for. */
unsigned acks_code(const struct acks *acks, unsigned code);
void acks_put(struct json_writer *json, const struct acks *acks);

#endif /* HTTP_API_ACKS_H */
