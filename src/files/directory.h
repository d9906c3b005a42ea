#ifndef FILES_DIRECTORY_H
#define FILES_DIRECTORY_H

/* A data directory: who may use it, what lies in it, and who it is.
 *
 *     lock      held (flock) while a process runs on it; its process id, for people
 *     identity  format, id, cluster, counter slot, last start: text of a few lines and a checksum,
 *               written beside and renamed
 *     log-N snap-N snap-N.tmp    disk/operation.h
 *
 * Refused, and not touched, with one clear line (STATUS_CONFLICT, after which main ends with
 * EX_CANTCREAT): what is no directory, is another user's, or may be written to by others; one that
 * another process runs on (and which one); one with files but no identity; an identity of a newer
 * format, of another cluster, or that does not pass its checksum; one that cannot be written to. An
 * empty directory, or one that is not there in one that is, becomes ours.
 *
 * Called by main. Blocks on the disk: for starts and commands alone. */

#include "base/status.h"
#include "disk/operation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct directory; /* opaque */

struct identity {
    uint64_t id;         /* random; seeds the checksums of all frames */
    uint64_t slot;       /* 60 random bits: whose counts this directory's are */
    uint64_t start_s;    /* unix: the last start that peers may have been told, 0: none */
    uint32_t cluster_id; /* digest_cluster_id() of the cluster's name */
};

struct directory_options {
    const char *path;
    uint32_t cluster_id;
    bool is_any_cluster; /* for commands that only look: the cluster's name is not asked for */
    bool is_read_only;   /* nothing is made, written or renamed; the lock is shared. What is not
                            there is refused */
};

/* *directory_out is written only on STATUS_OK. STATUS_CONFLICT: refused. STATUS_SYSTEM: the disk
 * said no on the way; STATUS_MEMORY. */
MUST_CHECK enum status directory_open(const struct directory_options *options,
                                      struct directory **directory_out, struct fault *why);

/* Gives the lock back. NULL is allowed. */
void directory_close(struct directory *directory);

int directory_descriptor(const struct directory *directory);
const struct identity *directory_identity(const struct directory *directory);

/* What was found when it was opened. */
const struct disk_found *directory_files(const struct directory *directory, size_t *count_out);

/* Write the identity anew: beside, synced, renamed, synced. STATUS_SYSTEM: the old one stands. */
MUST_CHECK enum status directory_save(struct directory *directory, const struct identity *identity,
                                      struct fault *why);

/* Names in it that are neither ours nor begin with a dot ("lost+found" apart), of the first one. */
const char *directory_foreign(const struct directory *directory);

#endif /* FILES_DIRECTORY_H */
