#include "disk/recover.h"

#include "disk/frame.h"
#include "disk/replay.h"

#include <assert.h>
#include <string.h>

/* What is carried over to the next read is less than a frame. */
#define BUFFER_BYTES (RECOVER_READ_BYTES + FRAME_BYTES_MAX)

enum stage { STAGE_SNAPSHOTS, STAGE_LOGS, STAGE_OVER };

/* Bytes of a file in which no frame begins that passes. */
struct lost {
    uint64_t offset;
    uint64_t end; /* behind the last one that is not 0 */
    bool is_open; /* they go on as far as was read */
};

/* A place in a log where something is missing that was kept, or never was: a later frame says. */
struct doubt {
    uint64_t sequence; /* the first that is missing */
    uint64_t offset;
    uint64_t bytes;
    struct disk_file file;
    bool is_open;
};

struct recover {
    struct recover_options options;
    struct recover_report report;
    struct replay replay;
    const struct disk_found *file; /* that is being read; NULL: none */
    uint64_t seed;
    uint64_t offset;       /* of it: to be read next */
    uint64_t end;          /* of it: its size, or where it turned out to end */
    size_t held;           /* bytes of the buffer that were carried over */
    size_t asked;          /* by the operation that is under way */
    uint64_t sequence;     /* of the next frame */
    uint64_t log_sequence; /* of the first log's next frame, as the last snapshot says */
    uint64_t damaged;      /* as in the report, before this file */
    uint64_t peers_number; /* of the file that the report's peers are from */
    struct lost lost;
    struct doubt doubt;
    enum status status;
    uint8_t stage;
    bool is_busy;     /* an operation is under way */
    bool is_closing;  /* the file is read */
    bool is_unsynced; /* and is to be synced before */
    bool is_anchored; /* `sequence` is known; of logs whose beginning is gone it is not */
    bool is_begun;    /* a frame of this file passed */
    bool is_whole;    /* its last frame was its end, and adds up */
    uint8_t buffer[BUFFER_BYTES];
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Files. */

static bool is_of_kind(const struct disk_found *found, enum disk_file_kind kind)
{
    return found->file.kind == kind && found->file.number <= DISK_NUMBER_MAX;
}

/* The newest snapshot below a number, or NULL. */
static const struct disk_found *snapshot_below(const struct recover *recover, uint64_t number)
{
    const struct disk_found *found = NULL;

    for (size_t i = 0; i < recover->options.files_count; i++) {
        const struct disk_found *file = &recover->options.files[i];

        if (is_of_kind(file, DISK_SNAPSHOT) && file->file.number < number
            && (found == NULL || file->file.number > found->file.number)) {
            found = file;
        }
    }
    return found;
}

/* The oldest log from a number on, or NULL. */
static const struct disk_found *log_from(const struct recover *recover, uint64_t number)
{
    const struct disk_found *found = NULL;

    for (size_t i = 0; i < recover->options.files_count; i++) {
        const struct disk_found *file = &recover->options.files[i];

        if (is_of_kind(file, DISK_LOG) && file->file.number >= number
            && (found == NULL || file->file.number < found->file.number)) {
            found = file;
        }
    }
    return found;
}

/* Bytes of the logs from a number on. */
static uint64_t logs_bytes(const struct recover *recover, uint64_t number)
{
    const struct disk_found *file = log_from(recover, number);
    uint64_t bytes = 0;

    while (file != NULL) {
        bytes += file->size;
        file = log_from(recover, file->file.number + 1);
    }
    return bytes;
}

static bool is_log(const struct recover *recover)
{
    return recover->stage == STAGE_LOGS;
}

/* Damage, and what is in doubt. */

static void damage_note(struct recover *recover, struct disk_file file, uint64_t offset,
                        uint64_t bytes)
{
    struct recover_report *report = &recover->report;

    if (report->damaged == 0) {
        report->damaged_file = file;
        report->damaged_offset = offset;
    }
    report->damaged++;
    report->damaged_bytes += bytes;
}

/* What is in doubt is missing though it was kept. */
static void doubt_confirm(struct recover *recover)
{
    const struct doubt *doubt = &recover->doubt;

    damage_note(recover, doubt->file, doubt->offset, doubt->bytes);
    recover->doubt.is_open = false;
}

/* It never was: the sequences go on, or end, before it. */
static void doubt_settle(struct recover *recover)
{
    if (recover->doubt.is_open) {
        recover->report.torn_bytes += recover->doubt.bytes;
        recover->doubt.is_open = false;
    }
}

static void doubt_open(struct recover *recover, uint64_t sequence, uint64_t offset, uint64_t bytes)
{
    struct doubt *doubt = &recover->doubt;

    if (!doubt->is_open) {
        *doubt = (struct doubt){
            .sequence = sequence, .offset = offset, .file = recover->file->file, .is_open = true
        };
    }
    doubt->bytes += bytes;
}

/* The frame at an offset of a snapshot: of these each is missed. */
static void snapshot_judge(struct recover *recover, const struct frame *frame, uint64_t offset)
{
    const uint64_t from = recover->lost.is_open ? recover->lost.offset : offset;

    if (recover->lost.is_open || frame->sequence != recover->sequence) {
        damage_note(recover, recover->file->file, from, offset - from);
    }
    recover->sequence = frame->sequence + 1;
}

/* A frame at an offset of a log. Of the one that begins it, `first` is the sequence behind it, else
 * its own; all below `kept` was kept. */
static void log_judge(struct recover *recover, uint64_t first, uint64_t kept, uint64_t offset)
{
    struct doubt *doubt = &recover->doubt;
    const uint64_t from = recover->lost.is_open ? recover->lost.offset : offset;

    if (doubt->is_open && kept > doubt->sequence) {
        doubt_confirm(recover);
    }
    if (!recover->is_anchored) {
        recover->is_anchored = true;
        recover->sequence = first;
    }
    if (recover->lost.is_open || first > recover->sequence) {
        /* What is not missing by its number is a frame that took none, or that is numbered anew;
         * but of a log's beginning no later frame says that it was kept, and nothing is in it. */
        const uint64_t behind = recover->is_begun ? first - 1 : first;

        doubt_open(recover, least(recover->sequence, behind), from, offset - from);
        if (kept > doubt->sequence) {
            doubt_confirm(recover);
        }
    }
}

/* The sequence of a frame that is not its file's first. */
static void sequence_take(struct recover *recover, const struct frame *frame, uint64_t offset)
{
    if (!is_log(recover)) {
        snapshot_judge(recover, frame, offset);
        return;
    }
    log_judge(recover, frame->sequence, frame->kept, offset);
    if (frame->sequence >= recover->sequence || !recover->is_begun) {
        recover->sequence = frame->sequence + 1;
    }
}

/* Frames. */

/* What a file begins with. False: it is of no known form. */
static bool begin_take(struct recover *recover, const struct frame *frame, uint64_t offset)
{
    struct frame_begin begin;

    if (!frame_begin_read(frame->payload, &begin) || recover->is_begun
        || (is_log(recover) && begin.sequence == 0)) {
        return false;
    }
    if (is_log(recover)) {
        if (begin.sequence <= recover->doubt.sequence) {
            doubt_settle(recover); /* that was written in vain, and is numbered anew */
        }
        log_judge(recover, begin.sequence, begin.sequence, offset);
        recover->sequence = begin.sequence;
    } else {
        snapshot_judge(recover, frame, offset);
        recover->log_sequence = begin.sequence;
    }
    return true;
}

static bool end_take(struct recover *recover, const struct frame *frame)
{
    struct frame_end end;

    recover->is_whole = !is_log(recover) && frame_end_read(frame->payload, &end)
                        && memcmp(&end, &recover->replay.seen, sizeof end) == 0;
    return recover->is_whole;
}

/* Newer ones alone count: an older snapshot is read after one that is damaged. */
static bool peers_take(struct recover *recover, const struct frame *frame)
{
    if (recover->file->file.number < recover->peers_number) {
        return true;
    }
    recover->peers_number = recover->file->file.number;
    return disk_peers_read(frame->payload, &recover->report.peers);
}

static bool items_take(struct recover *recover, const struct frame *frame)
{
    const uint64_t refused = recover->replay.refused;

    recover->status = replay_items(&recover->replay, frame->payload);
    return recover->replay.refused == refused;
}

/* What a frame that passed holds, and what it says of those before it. */
static void frame_take(struct recover *recover, const struct frame *frame, uint64_t offset)
{
    bool is_valid = true;

    recover->report.frames++;
    recover->is_whole = false;
    if (frame->kind != FRAME_BEGIN) {
        sequence_take(recover, frame, offset);
    }
    switch (frame->kind) {
    case FRAME_BEGIN: is_valid = begin_take(recover, frame, offset); break;
    case FRAME_ITEMS: is_valid = items_take(recover, frame); break;
    case FRAME_PEERS: is_valid = peers_take(recover, frame); break;
    default: is_valid = end_take(recover, frame); break;
    }
    if (!is_valid) {
        damage_note(recover, recover->file->file, offset, frame_size(frame));
    }
    recover->is_begun = true;
    recover->lost.is_open = false;
}

/* No frame begins in these bytes at an offset. */
static void lost_take(struct recover *recover, struct bytes bytes, uint64_t offset)
{
    struct lost *lost = &recover->lost;

    if (!lost->is_open) {
        *lost = (struct lost){ .offset = offset, .end = offset, .is_open = true };
    }
    if (frame_is_blank(bytes)) {
        return;
    }
    while (bytes.data[bytes.size - 1] == 0) {
        bytes.size--;
    }
    lost->end = offset + bytes.size;
}

/* Take what lies in the buffer. Returns how many bytes of it are done with: all of them where the
 * file ends there, else less than a frame is left. */
static size_t buffer_take(struct recover *recover, size_t size)
{
    const uint64_t offset = recover->offset - size;
    const bool is_last = recover->offset == recover->end;
    size_t at = 0;

    while (at < size && recover->status == STATUS_OK) {
        const struct bytes rest = { recover->buffer + at, size - at };
        struct frame frame;
        size_t pass;

        if (frame_open(rest, recover->seed, &frame)) {
            frame_take(recover, &frame, offset + at);
            at += frame_size(&frame);
            continue;
        }
        if (!is_last && rest.size < FRAME_BYTES_MAX) {
            break;
        }
        pass = 1 + frame_search((struct bytes){ rest.data + 1, rest.size - 1 }, recover->seed, 0);
        if (pass == rest.size && !is_last) {
            pass -= FRAME_BYTES_MAX - 1; /* one may begin there, and go on behind */
        }
        lost_take(recover, (struct bytes){ rest.data, pass }, offset + at);
        at += pass;
    }
    return at;
}

/* One file after the other. */

/* The file is read. */
static void snapshot_finish(struct recover *recover)
{
    const struct lost *lost = &recover->lost;
    const bool is_lost = lost->is_open && lost->end > lost->offset;
    const struct disk_file file = recover->file->file;

    if (is_lost) {
        damage_note(recover, file, lost->offset, lost->end - lost->offset);
    } else if (!recover->is_whole && recover->report.damaged == recover->damaged) {
        damage_note(recover, file, recover->end, 0);
    }
    recover->is_whole = recover->report.damaged == recover->damaged;
    if (recover->is_whole) {
        recover->report.snapshot_number = file.number;
    }
}

static void log_finish(struct recover *recover)
{
    const struct lost *lost = &recover->lost;

    if (!lost->is_open || lost->end == lost->offset) {
        return;
    }
    if (recover->is_anchored) {
        doubt_open(recover, recover->sequence, lost->offset, lost->end - lost->offset);
    } else {
        recover->report.torn_bytes += lost->end - lost->offset;
    }
}

static void file_finish(struct recover *recover)
{
    if (recover->status != STATUS_OK) {
        return;
    }
    if (is_log(recover)) {
        log_finish(recover);
    } else {
        snapshot_finish(recover);
    }
}

static void file_begin(struct recover *recover, const struct disk_found *file)
{
    recover->file = file;
    recover->seed = frame_seed(recover->options.directory_id, file->file);
    recover->offset = 0;
    recover->end = file->size;
    recover->held = 0;
    recover->damaged = recover->report.damaged;
    recover->lost.is_open = false;
    recover->is_begun = false;
    recover->is_whole = false;
    recover->is_closing = file->size == 0;
    replay_begin_file(&recover->replay);
    if (!is_log(recover)) {
        recover->sequence = 0;
    }
    recover->report.bytes_total =
        recover->report.bytes_read + file->size
        + logs_bytes(recover, file->file.number + (is_log(recover) ? 1 : 0));
}

/* The logs are next: behind the snapshot that was read last, if that was whole. */
static const struct disk_found *logs_begin(struct recover *recover)
{
    const struct disk_found *snapshot = recover->file;
    const uint64_t number = recover->is_whole ? snapshot->file.number : 0;
    const struct disk_found *first = log_from(recover, number);

    recover->stage = STAGE_LOGS;
    recover->sequence = recover->log_sequence > 0 ? recover->log_sequence : 1;
    recover->is_anchored = recover->is_whole || snapshot == NULL;
    if (recover->is_whole && recover->log_sequence > 0
        && (first == NULL || first->file.number != number)) {
        damage_note(recover, (struct disk_file){ .number = number, .kind = DISK_LOG }, 0, 0);
        recover->is_anchored = false;
    }
    return first;
}

static const struct disk_found *file_choose(struct recover *recover)
{
    const uint64_t number = recover->file == NULL ? UINT64_MAX : recover->file->file.number;
    const struct disk_found *snapshot = NULL;

    if (is_log(recover)) {
        return log_from(recover, number + 1);
    }
    if (!recover->is_whole) {
        snapshot = snapshot_below(recover, number);
    }
    return snapshot != NULL ? snapshot : logs_begin(recover);
}

static void file_next(struct recover *recover)
{
    const struct disk_found *file = recover->status == STATUS_OK ? file_choose(recover) : NULL;

    while (file != NULL) {
        file_begin(recover, file);
        if (file->size > 0) {
            return;
        }
        file_finish(recover);
        file = file_choose(recover);
    }
    recover->stage = STAGE_OVER;
    recover->report.bytes_total = recover->report.bytes_read;
    recover->report.next_sequence =
        recover->doubt.is_open ? recover->doubt.sequence : recover->sequence;
    if (recover->report.next_sequence == 0) {
        recover->report.next_sequence = 1; /* none has 0 that anybody wrote */
    }
    doubt_settle(recover);
}

/* As many keys as are to come, if they go on as they were until now. */
static void keys_expect(const struct recover *recover)
{
    const uint64_t keys = recover->replay.seen.keys;

    if (recover->options.table != NULL && !is_log(recover) && keys > 0) {
        table_expect(recover->options.table,
                     (recover->end - recover->offset) / (recover->offset / keys + 1));
    }
}

enum status recover_create(const struct recover_options *options, struct recover **recover_out)
{
    struct recover *recover = mem_alloc(options->mem, sizeof *recover);

    if (recover == NULL) {
        return STATUS_MEMORY;
    }
    memset(recover, 0, offsetof(struct recover, buffer));
    recover->options = *options;
    recover->replay.table = options->table;
    recover->report.next_number = 1;
    for (size_t i = 0; i < options->files_count; i++) {
        const uint64_t number = options->files[i].file.number;

        if (number <= DISK_NUMBER_MAX && number >= recover->report.next_number) {
            recover->report.next_number = number + 1;
        }
    }
    file_next(recover);
    *recover_out = recover;
    return STATUS_OK;
}

void recover_free(struct recover *recover)
{
    if (recover != NULL) {
        mem_free(recover->options.mem, recover, sizeof *recover);
    }
}

bool recover_next(struct recover *recover, struct disk_operation *operation_out)
{
    const uint64_t left = recover->end - recover->offset;

    if (recover->is_busy || recover_is_over(recover)) {
        return false;
    }
    recover->is_busy = true;
    *operation_out = (struct disk_operation){ .file = recover->file->file, .verb = DISK_CLOSE };
    if (recover->is_unsynced) {
        operation_out->verb = DISK_SYNC;
    } else if (!recover->is_closing) {
        operation_out->verb = DISK_READ;
        operation_out->offset = recover->offset;
        operation_out->to = recover->buffer + recover->held;
        operation_out->size = (size_t)(left < RECOVER_READ_BYTES ? left : RECOVER_READ_BYTES);
        recover->asked = operation_out->size;
    }
    return true;
}

/* So many bytes more are in the buffer. */
static void read_take(struct recover *recover, size_t size)
{
    const size_t filled = recover->held + size;
    size_t taken;

    assert(size <= recover->asked);
    keys_expect(recover);
    recover->offset += size;
    recover->report.bytes_read += size;
    if (size < recover->asked) {
        recover->end = recover->offset; /* it is shorter than it was found to be */
    }
    taken = buffer_take(recover, filled);
    recover->held = filled - taken;
    memmove(recover->buffer, recover->buffer + taken, recover->held);
    recover->report.items = recover->replay.items;
    if (recover->options.table != NULL) {
        table_turn_end(recover->options.table);
    }
}

static void outcome_take(struct recover *recover, struct disk_result result)
{
    if (result.outcome != DISK_DONE) {
        recover->status = STATUS_SYSTEM;
        recover->report.error = result.error;
    }
}

void recover_done(struct recover *recover, struct disk_result result)
{
    assert(recover->is_busy);
    recover->is_busy = false;
    if (recover->is_unsynced) {
        recover->is_unsynced = false;
        outcome_take(recover, result);
        return;
    }
    if (recover->is_closing) {
        file_next(recover);
        return;
    }
    outcome_take(recover, result);
    if (recover->status == STATUS_OK) {
        read_take(recover, result.size);
    }
    recover->is_closing = recover->status != STATUS_OK || recover->offset == recover->end;
    if (recover->is_closing) {
        recover->is_unsynced = recover->status == STATUS_OK && !recover->options.is_read_only;
        file_finish(recover);
    }
}

enum status recover_status(const struct recover *recover)
{
    return recover->status;
}

bool recover_is_over(const struct recover *recover)
{
    return recover->stage == STAGE_OVER;
}

const struct recover_report *recover_report(const struct recover *recover)
{
    return &recover->report;
}
