/* Preloaded into the daemon by test_memory.py: the n-th allocation from now on fails, once. The
 * test writes n into the file that FAILING_MALLOC names, and reads there how many are left. 0: none
 * fails.
 *
 * libevent is spared: its 2.1.12 crashes by itself where memory runs out while it accepts a
 * connection (evhttp_connection_free() of a half-made one), and nothing above it can help that. So
 * is libc, through whose strdup() it allocates. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

#define SPARED_MAX 8

static volatile int64_t *left;

/* Where the code of the spared libraries lies. */
static struct {
    uintptr_t from;
    uintptr_t to;
} spared[SPARED_MAX];
static unsigned spared_count;

static int object_note(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    (void)argument;
    if (strstr(object->dlpi_name, "libevent") == NULL
        && strstr(object->dlpi_name, "libc.so") == NULL) {
        return 0;
    }
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];

        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0 && spared_count < SPARED_MAX) {
            spared[spared_count].from = object->dlpi_addr + part->p_vaddr;
            spared[spared_count].to = spared[spared_count].from + part->p_memsz;
            spared_count++;
        }
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAILING_MALLOC");
    const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    dl_iterate_phdr(object_note, NULL);
    if (fd >= 0) {
        void *page = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        left = page == MAP_FAILED ? NULL : page;
        close(fd);
    }
}

static int fails(const void *caller)
{
    if (left == NULL || *left == 0) {
        return 0;
    }
    for (unsigned i = 0; i < spared_count; i++) {
        if ((uintptr_t)caller >= spared[i].from && (uintptr_t)caller < spared[i].to) {
            return 0;
        }
    }
    *left = *left - 1;
    if (*left == 0) {
        errno = ENOMEM;
        return 1;
    }
    return 0;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}
