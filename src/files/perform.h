#ifndef FILES_PERFORM_H
#define FILES_PERFORM_H

/* Operations on the files of a data directory (disk/operation.h), done at once by the calling
 * thread, which waits. Called by files/worker from its thread, and by main for the commands that
 * look at a directory that nobody runs on.
 *
 * Files are opened below the directory's descriptor, never by a path, never through a symbolic
 * link, with the owner's mode only. Only what DISK_CREATE made, and nothing has let go of since, is
 * written to or synced: a file of an earlier life, or one that was abandoned, gives EBADF. A call
 * that a signal interrupted or that did a part goes on; a write that no more of is taken is an
 * error, and so is a sync of a file that was removed meanwhile (ENOENT). What fails says so in the
 * result and leaves the descriptor to DISK_CLOSE. */

#include "disk/operation.h"

struct files; /* opaque: the descriptors that are open */

#define FILES_OPEN_MAX 16 /* a log, a draft and what is read; EMFILE beyond */

/* `directory` is borrowed. NULL: no memory. */
struct files *files_create(int directory);
void files_free(struct files *files);

struct disk_result files_perform(struct files *files, const struct disk_operation *operation);

/* "log-12", "snap-12", "snap-12.tmp". */
#define FILES_NAME_MAX 32
void files_name(struct disk_file file, char name[FILES_NAME_MAX]);

/* False: it is none of these names; *file_out untouched. Canonical numbers only. */
bool files_from_name(const char *name, struct disk_file *file_out);

#endif /* FILES_PERFORM_H */
