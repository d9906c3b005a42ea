#ifndef MAIN_INSPECT_H
#define MAIN_INSPECT_H

/* The commands on a data directory that no daemon runs on: say what is in it, and its data out of
 * it and into it, as lines of JSON. They load all of it into memory and wait for the disk. Called
 * by main.c alone.
 *
 * The lines are those of POST /keys and GET /keys, with the generation of keys that were deleted
 * before; and for those that are deleted, of which there is no name, the hash that all nodes of the
 * cluster know them by. So what was given out and is taken in again is the same.
 *
 * Each returns how the process is to end:
 *
 *     EXIT_GOOD           all went well
 *     EXIT_DAMAGED        something that was kept is missing; what is left was said or given out
 *     EXIT_DATA           a line that was to be taken in is wrong
 *     EXIT_CANNOT_CREATE  the directory is refused (files/directory.h), or the disk said no
 *     EXIT_SOFTWARE       no memory
 *
 * and writes into `why` what is to be said about it, "" where that is nothing. */

#include "base/status.h"
#include "main/process.h"

#include <stdint.h>
#include <stdio.h>

/* Print its files and what they hold, a name and a value a line. Nothing is changed. */
enum process_exit inspect_check(const char *path, FILE *to, struct fault *why);

/* Print its keys with their vectors, in byte order, then its deletions by hash. Nothing is changed;
 * what has ended is left out. */
enum process_exit inspect_export(const char *path, FILE *to, struct fault *why);

/* Join the lines of a file, "-" for stdin, into it; one that is not there is made for a cluster of
 * this id. All of them are read and right before anything is changed: then a snapshot is written
 * that holds what was there and what came, and takes the place of all other files. A directory that
 * is damaged is left as it is. The limits of a daemon (max-keys, max-value, max-keep) are not asked
 * for. Prints how many lines were taken. */
enum process_exit inspect_import(const char *path, uint32_t cluster_id, const char *file, FILE *to,
                                 struct fault *why);

#endif /* MAIN_INSPECT_H */
