#include "main/inspect.h"

#include "base/address.h"
#include "base/deadline.h"
#include "base/mem.h"
#include "disk/frame.h"
#include "disk/recover.h"
#include "disk/snapshot.h"
#include "files/directory.h"
#include "files/perform.h"
#include "store/pattern.h"
#include "store/table.h"
#include "view/json_reader.h"
#include "view/json_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define INSPECT_PIECE_BYTES (256 << 10) /* read, printed or written at once */
#define INSPECT_SLICE       64
#define INSPECT_EXPIRE_KEYS 1000

/* A directory that was opened and loaded. */
struct inspected {
    const char *path;
    struct mem mem;
    struct directory *directory;
    struct files *files;
    struct table *table;
    struct recover_report report;
    uint8_t piece[INSPECT_PIECE_BYTES];
};

static struct inspected *inspected_create(const char *path, struct fault *why)
{
    struct inspected *inspected = calloc(1, sizeof *inspected);

    why->text[0] = '\0';
    if (inspected == NULL) {
        (void)fault_set(why, STATUS_MEMORY, "no memory");
        return NULL;
    }
    inspected->path = path;
    return inspected;
}

static void inspected_free(struct inspected *inspected)
{
    table_free(inspected->table);
    files_free(inspected->files);
    directory_close(inspected->directory);
    free(inspected);
}

static enum process_exit inspected_no_memory(struct fault *why)
{
    (void)fault_set(why, STATUS_MEMORY, "no memory to load the data directory");
    return EXIT_SOFTWARE;
}

static enum process_exit inspected_read(struct inspected *inspected, struct fault *why)
{
    struct recover_options options = {
        .mem = &inspected->mem,
        .table = inspected->table,
        .directory_id = directory_identity(inspected->directory)->id,
        .is_read_only = true,
    };
    struct disk_operation operation;
    struct recover *recover;
    enum status status;

    options.files = directory_files(inspected->directory, &options.files_count);
    if (recover_create(&options, &recover) != STATUS_OK) {
        return inspected_no_memory(why);
    }
    while (recover_next(recover, &operation)) {
        recover_done(recover, files_perform(inspected->files, &operation));
    }
    status = recover_status(recover);
    inspected->report = *recover_report(recover);
    recover_free(recover);
    if (status == STATUS_MEMORY) {
        return inspected_no_memory(why);
    }
    if (status != STATUS_OK) {
        (void)fault_set(why, status, "data directory '%.100s' cannot be read: %s", inspected->path,
                        strerror(inspected->report.error));
        return EXIT_CANNOT_CREATE;
    }
    return EXIT_GOOD;
}

static enum process_exit inspected_load(struct inspected *inspected,
                                        const struct directory_options *options, struct fault *why)
{
    struct table_options table = { .mem = &inspected->mem, .digest_mask = UINT64_MAX };

    switch (directory_open(options, &inspected->directory, why)) {
    case STATUS_OK: break;
    case STATUS_MEMORY: return EXIT_SOFTWARE;
    default: return EXIT_CANNOT_CREATE;
    }
    table.cluster_id = directory_identity(inspected->directory)->cluster_id;
    inspected->files = files_create(directory_descriptor(inspected->directory));
    if (getrandom(table.hash_secret, sizeof table.hash_secret, 0) < 0 || inspected->files == NULL
        || table_create(&table, &inspected->table) != STATUS_OK) {
        return inspected_no_memory(why);
    }
    return inspected_read(inspected, why);
}

/* For those that only look: as a daemon would have it by now, without what has ended. */
static enum process_exit inspected_load_now(struct inspected *inspected, struct fault *why)
{
    const struct directory_options options = { .path = inspected->path,
                                               .is_any_cluster = true,
                                               .is_read_only = true };
    const enum process_exit exit = inspected_load(inspected, &options, why);

    if (exit == EXIT_GOOD) {
        table_set_minute(inspected->table, deadline_now((uint64_t)time(NULL)));
        while (table_expire(inspected->table, INSPECT_EXPIRE_KEYS) == INSPECT_EXPIRE_KEYS) {
            table_turn_end(inspected->table);
        }
        table_turn_end(inspected->table);
    }
    return exit;
}

/* EXIT_GOOD, or EXIT_DAMAGED and what is damaged. */
static enum process_exit inspected_judge(const struct inspected *inspected, struct fault *why)
{
    const struct recover_report *report = &inspected->report;
    char name[FILES_NAME_MAX];

    if (report->damaged == 0) {
        return EXIT_GOOD;
    }
    files_name(report->damaged_file, name);
    (void)fault_set(why, STATUS_CORRUPT,
                    "data directory '%.100s' is damaged in %" PRIu64 " places, first in '%s' at "
                    "byte %" PRIu64,
                    inspected->path, report->damaged, name, report->damaged_offset);
    return EXIT_DAMAGED;
}

/* What was printed has arrived. */
static enum process_exit printed(FILE *to, enum process_exit exit, struct fault *why)
{
    if (fflush(to) != 0 || ferror(to)) {
        (void)fault_set(why, STATUS_SYSTEM, "cannot write: %s", strerror(errno));
        return EXIT_CANNOT_CREATE;
    }
    return exit;
}

/* What is in it. */

static void check_print(struct inspected *inspected, FILE *to)
{
    const struct identity *identity = directory_identity(inspected->directory);
    const struct table_stats stats = table_stats(inspected->table);
    const struct recover_report *report = &inspected->report;
    size_t count;
    const struct disk_found *files = directory_files(inspected->directory, &count);
    char name[FILES_NAME_MAX];

    (void)fprintf(to, "id %016" PRIx64 "\ncluster %08" PRIx32 "\nslot %016" PRIx64 "\n",
                  identity->id, identity->cluster_id, identity->slot);
    for (size_t i = 0; i < count; i++) {
        files_name(files[i].file, name);
        (void)fprintf(to, "file %s %" PRIu64 "\n", name, files[i].size);
    }
    (void)fprintf(to, "snapshot %" PRIu64 "\nframes %" PRIu64 "\n", report->snapshot_number,
                  report->frames);
    (void)fprintf(
        to, "keys %" PRIu64 "\nended %" PRIu64 "\ndeleted %" PRIu64 "\nelements %" PRIu64 "\n",
        stats.keys[TABLE_DATA], stats.ended, stats.tombstones, stats.elements);
    (void)fprintf(to, "digest %016" PRIx64 "\n", table_root(inspected->table, TABLE_DATA));
    (void)fprintf(to, "peers %zu\nlast_contact %" PRIu64 "\n", report->peers.count,
                  report->peers.contact_s);
    (void)fprintf(to, "torn_bytes %" PRIu64 "\ndamaged %" PRIu64 "\ndamaged_bytes %" PRIu64 "\n",
                  report->torn_bytes, report->damaged, report->damaged_bytes);
}

/* Load a directory, and print what there is to say of it. */
static enum process_exit inspect(const char *path, FILE *to,
                                 void (*print)(struct inspected *inspected, FILE *to),
                                 struct fault *why)
{
    struct inspected *inspected = inspected_create(path, why);
    enum process_exit exit;

    if (inspected == NULL) {
        return EXIT_SOFTWARE;
    }
    exit = inspected_load_now(inspected, why);
    if (exit == EXIT_GOOD) {
        print(inspected, to);
        exit = printed(to, inspected_judge(inspected, why), why);
    }
    inspected_free(inspected);
    return exit;
}

enum process_exit inspect_check(const char *path, FILE *to, struct fault *why)
{
    return inspect(path, to, check_print, why);
}

/* Out of it. */

static void export_sink(void *owner, struct bytes bytes)
{
    (void)fwrite(bytes.data, 1, bytes.size, owner); /* printed() asks how that went */
}

static void export_entry(struct json_writer *json, const struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;

    json_begin_object(json);
    json_name(json, "key");
    json_string(json, entry_key(entry));
    if (entry_generation(entry) > 0) {
        json_name(json, "generation");
        json_u64(json, entry_generation(entry));
    }
    json_name(json, "vector");
    json_begin_object(json);
    for (size_t i = 0; i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        json_elements(json, &block, NULL);
    }
    json_end_object(json);
    json_end_object(json);
}

static void export_deletion(struct json_writer *json, const struct entry *tombstone)
{
    json_begin_object(json);
    json_name(json, "deleted");
    json_hex64(json, entry_deleted_hash(tombstone));
    json_name(json, "generation");
    json_u64(json, entry_generation(tombstone));
    if (entry_deadline(tombstone) != DEADLINE_NONE) {
        char end[DEADLINE_BYTES_MAX];

        json_name(json, "expires");
        json_string(json, (struct bytes){ (const uint8_t *)end,
                                          deadline_put(end, entry_deadline(tombstone)) });
    }
    json_end_object(json);
}

static void export_keys(const struct inspected *inspected, struct output *output, FILE *to)
{
    struct entry *entries[INSPECT_SLICE];
    struct bytes after = { NULL, 0 };
    struct json_writer json;
    size_t count;

    do {
        count =
            table_slice(inspected->table, (struct bytes){ NULL, 0 }, after, entries, INSPECT_SLICE);
        for (size_t i = 0; i < count; i++) {
            json_begin(&json, output, false);
            export_entry(&json, entries[i]);
            output_put_byte(output, '\n');
            after = entry_key(entries[i]);
        }
    } while (count == INSPECT_SLICE && !ferror(to));
}

static void export_deletions(const struct inspected *inspected, struct output *output, FILE *to)
{
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[INSPECT_SLICE];
    struct json_writer json;
    uint64_t hash = 0;
    bool is_last = table_stats(inspected->table).tombstones == 0;

    while (!is_last && !ferror(to)) {
        const size_t count = table_slice_hash(inspected->table, all, hash, entries, INSPECT_SLICE);

        is_last = count < INSPECT_SLICE;
        for (size_t i = 0; i < count; i++) {
            if (entry_deleted(entries[i])) {
                json_begin(&json, output, false);
                export_deletion(&json, entries[i]);
                output_put_byte(output, '\n');
            }
            hash = entry_hash(inspected->table, entries[i]) + 1;
            is_last = is_last || hash == 0;
        }
    }
}

static void export_all(struct inspected *inspected, FILE *to)
{
    struct output output;

    output_init(&output, (struct space){ inspected->piece, sizeof inspected->piece }, export_sink,
                to);
    export_keys(inspected, &output, to);
    export_deletions(inspected, &output, to);
    output_flush(&output);
}

enum process_exit inspect_export(const char *path, FILE *to, struct fault *why)
{
    return inspect(path, to, export_all, why);
}

/* Into it. */

struct import {
    struct inspected *inspected;
    struct draft draft;
    struct json_reader *reader;
    uint64_t lines;
};

/* A deletion, if it is later than what there is of the key. */
static enum status import_deletion(struct import *import, uint64_t hash, uint32_t deadline)
{
    struct table *table = import->inspected->table;
    const uint32_t generation = draft_generation(&import->draft);
    struct entry *entry = table_find_hash(table, TABLE_DATA, hash);

    return entry != NULL && entry_generation(entry) >= generation
               ? STATUS_OK
               : table_delete(table, &entry, hash, deadline, generation, CHANGE_FROM_DISK);
}

/* Elements, into the generation that the line says, or where it says none, as a client's update
 * into that in which the key is. Those of one that was deleted since are passed over. */
static enum status import_update(struct import *import, struct bytes key)
{
    struct table *table = import->inspected->table;
    uint32_t generation = draft_generation(&import->draft);
    struct merge_result merged;
    struct block_room room;
    struct block block;
    struct entry *entry;
    enum status status = table_obtain(table, key, TABLE_DATA, &entry);

    if (status == STATUS_OK && generation == 0) {
        generation = entry_generation(entry);
    }
    while (status == STATUS_OK && entry_generation(entry) <= generation
           && draft_next_block(&import->draft, &room, &block)) {
        status = entry_generation(entry) == generation
                     ? table_merge(table, entry, &block, CHANGE_FROM_DISK, &merged)
                     : table_renew(table, &entry, generation, &block, CHANGE_FROM_DISK, &merged);
    }
    return status;
}

/* One line, into the table alone. */
static enum status import_take(struct import *import, struct fault *why)
{
    const struct bytes key = draft_key(&import->draft);
    struct address address;
    enum status status;
    uint64_t hash;
    uint32_t deadline;

    if (pattern_is(key) || address_from_presence(key, &address)) {
        return fault_set(why, STATUS_INVALID, "'%.*s' is no key that can be written",
                         key.size < 80 ? (int)key.size : 80, (const char *)key.data);
    }
    status = draft_is_deletion(&import->draft, &hash, &deadline)
                 ? import_deletion(import, hash, deadline)
                 : import_update(import, key);
    table_turn_end(import->inspected->table);
    import->lines++;
    return status == STATUS_OK ? STATUS_OK : fault_set(why, status, "%s", status_text(status));
}

/* Read on in a piece, to its end. READ_REFUSED: `why` says what and where. */
static enum read_event import_piece(struct import *import, struct bytes piece, struct fault *why)
{
    enum read_event event;

    do {
        event = piece.size > 0 ? json_reader_read(import->reader, &piece)
                               : json_reader_end(import->reader);
        if (event == READ_REFUSED) {
            *why = draft_problem(&import->draft)->why;
            (void)fault_prefix(why, "line %" PRIu64 ": ", draft_problem(&import->draft)->line);
        } else if (event == READ_UPDATE && import_take(import, why) != STATUS_OK) {
            (void)fault_prefix(why, "line %" PRIu64 ": ", json_reader_line(import->reader));
            event = why->code == STATUS_MEMORY ? READ_MEMORY : READ_REFUSED;
        }
    } while (event == READ_BUSY || event == READ_UPDATE);
    return event;
}

static enum process_exit import_read(struct import *import, FILE *from, struct fault *why)
{
    uint8_t *piece = import->inspected->piece;
    enum read_event event = READ_MORE;
    size_t size;

    while (event == READ_MORE) {
        size = fread(piece, 1, INSPECT_PIECE_BYTES, from);
        if (size == 0 && ferror(from)) {
            (void)fault_set(why, STATUS_SYSTEM, "cannot be read: %s", strerror(errno));
            return EXIT_DATA;
        }
        event = import_piece(import, (struct bytes){ piece, size }, why);
    }
    switch (event) {
    case READ_DONE: return EXIT_GOOD;
    case READ_REFUSED: return EXIT_DATA;
    default: return inspected_no_memory(why);
    }
}

static enum process_exit import_file(struct import *import, const char *file, struct fault *why)
{
    const bool is_stdin = strcmp(file, "-") == 0;
    FILE *from = is_stdin ? stdin : fopen(file, "r");
    enum process_exit exit;
    uint8_t secret[16];

    if (from == NULL) {
        (void)fault_set(why, STATUS_SYSTEM, "'%.100s': %s", file, strerror(errno));
        return EXIT_DATA;
    }
    (void)getrandom(secret, sizeof secret, 0); /* it has given some before */
    draft_init(&import->draft, &import->inspected->mem, secret);
    import->reader = json_reader_create(JSON_FORM_EXPORT, &import->draft);
    exit = import->reader == NULL ? inspected_no_memory(why) : import_read(import, from, why);
    json_reader_free(import->reader);
    draft_clear(&import->draft);
    if (!is_stdin) {
        (void)fclose(from);
    }
    if (exit == EXIT_DATA) {
        (void)fault_prefix(why, "nothing was imported: '%.60s': ", file);
    }
    return exit;
}

static struct disk_result import_perform(const struct inspected *inspected, enum disk_verb verb,
                                         uint64_t offset, size_t size)
{
    const struct disk_operation operation = { .file = { .number = inspected->report.next_number,
                                                        .kind = DISK_DRAFT },
                                              .verb = (uint8_t)verb,
                                              .offset = offset,
                                              .from = inspected->piece,
                                              .size = size };

    return files_perform(inspected->files, &operation);
}

/* A snapshot of the table, which no log goes with. */
static struct disk_result import_write(struct inspected *inspected)
{
    const struct disk_file draft = { .number = inspected->report.next_number, .kind = DISK_DRAFT };
    struct disk_result result = import_perform(inspected, DISK_CREATE, 0, 0);
    struct snapshot_walk walk;
    uint64_t offset = 0;
    size_t size;

    snapshot_begin(&walk, frame_seed(directory_identity(inspected->directory)->id, draft), 0);
    while (result.outcome == DISK_DONE
           && (size = snapshot_next(&walk, inspected->table, &inspected->report.peers,
                                    (struct space){ inspected->piece, sizeof inspected->piece }))
                  > 0) {
        result = import_perform(inspected, DISK_WRITE, offset, size);
        offset += size;
    }
    if (result.outcome == DISK_DONE) {
        result = import_perform(inspected, DISK_SYNC, 0, 0);
    }
    return result.outcome == DISK_DONE ? import_perform(inspected, DISK_PUBLISH, 0, 0) : result;
}

static enum process_exit import_keep(struct inspected *inspected, struct fault *why)
{
    const struct disk_result result = import_write(inspected);
    struct disk_operation remove = { .verb = DISK_REMOVE };
    size_t count;
    const struct disk_found *files = directory_files(inspected->directory, &count);

    if (result.outcome != DISK_DONE) {
        (void)import_perform(inspected, DISK_REMOVE, 0, 0);
        (void)fault_set(why, STATUS_SYSTEM,
                        "nothing was imported: data directory '%.100s' cannot be written to: %s",
                        inspected->path, strerror(result.error));
        return EXIT_CANNOT_CREATE;
    }
    for (size_t i = 0; i < count; i++) {
        remove.file = files[i].file;
        (void)files_perform(inspected->files, &remove); /* one that stays is not read any more */
    }
    return EXIT_GOOD;
}

enum process_exit inspect_import(const char *path, uint32_t cluster_id, const char *file, FILE *to,
                                 struct fault *why)
{
    const struct directory_options options = { .path = path,
                                               .cluster_id = cluster_id,
                                               .is_any_cluster = true };
    struct import import = { .inspected = inspected_create(path, why) };
    enum process_exit exit = EXIT_SOFTWARE;

    if (import.inspected == NULL) {
        return exit;
    }
    exit = inspected_load(import.inspected, &options, why);
    if (exit == EXIT_GOOD) {
        exit = inspected_judge(import.inspected, why);
    }
    if (exit == EXIT_GOOD) {
        exit = import_file(&import, file, why);
    }
    if (exit == EXIT_GOOD) {
        exit = import_keep(import.inspected, why);
    }
    if (exit == EXIT_GOOD) {
        (void)fprintf(to, "lines %" PRIu64 "\n", import.lines);
        exit = printed(to, exit, why);
    }
    inspected_free(import.inspected);
    return exit;
}
