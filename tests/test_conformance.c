/* SPDX-License-Identifier: Apache-2.0 */
/* test_conformance.c - the simulated kernel and the real one answer the same.
 *
 * Each script does things and notes the results as text, once in each world. Where
 * the notes differ, one of the two is wrong: the simulator, on which most other
 * tests rely, or what rill makes of the real kernel. */
#include "io/file.h"
#include "io/path.h"
#include "io/readiness.h"
#include "net/socket_options.h"
#include "runtime/select.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/limit.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Shared with the process in which a script runs. */
static struct notes {
    size_t size;
    bool skipped;
    char text[16384];
} * notes;

static struct rill_tcp one, other;
static struct rill_op op, send_op;
static struct rill_borrow borrow;
static struct rill_timeout timeout;
static char buffer[1000];
static char directory[] = "/tmp/rill-conform-XXXXXX";

/* Notes what an awaited future has come to. */
static void note(const char *what, int64_t result)
{
    size_t room = sizeof notes->text - notes->size;
    char *text = notes->text + notes->size;
    int more = result < 0 ? snprintf(text, room, "%s: -%s\n", what, strerrorname_np((int)-result))
                          : snprintf(text, room, "%s: %lld\n", what, (long long)result);

    notes->size += (size_t)more;
    expect(notes->size < sizeof notes->text);
}

#define NOTE(future) note(#future, await(future))

/* A receive that may have nothing to wait for: 20 ms are for ever. */
#define NOTE_SOON(future)                                                                          \
    note(#future, await(rill_timeout(&timeout, 20 * RILL_MILLISECOND, future)))

/* ---- scripts ---- */

static void hang_up_both(void)
{
    NOTE(rill_tcp_close(&one));
    NOTE(rill_tcp_close(&other));
}

static void sizes_of_nothing(void)
{
    fixture_pair(&one, &other);
    NOTE(rill_tcp_send(&one, &send_op, "", 0));
    NOTE(rill_tcp_send_all(&one, &send_op, "", 0));
    NOTE_SOON(rill_tcp_recv(&other, &op, buffer, 0));
    NOTE_SOON(rill_tcp_recv_exactly(&other, &op, buffer, 0));
    NOTE(rill_tcp_send_all(&one, &send_op, "abc", 3));
    settle();
    NOTE_SOON(rill_tcp_recv(&other, &op, buffer, 0));
    NOTE_SOON(rill_tcp_recv(&other, &op, buffer, 9));
    NOTE(rill_tcp_finish_sending(&one, &send_op));
    settle();
    NOTE_SOON(rill_tcp_recv(&other, &op, buffer, 0));
    hang_up_both();
}

static void half_close(void)
{
    fixture_pair(&one, &other);
    NOTE(rill_tcp_send_all(&one, &send_op, "abc", 3));
    NOTE(rill_tcp_finish_sending(&one, &send_op));
    NOTE(rill_tcp_finish_sending(&one, &send_op));
    NOTE(rill_tcp_send_all(&one, &send_op, "abc", 3));
    NOTE(rill_tcp_recv_exactly(&other, &op, buffer, 9));
    NOTE(rill_tcp_recv_exactly(&other, &op, buffer, 9));
    NOTE(rill_tcp_recv(&other, &op, buffer, 9));
    NOTE(rill_tcp_recv_borrowed(&other, &borrow));
    NOTE(rill_tcp_send_all(&other, &send_op, "xyz", 3));
    NOTE(rill_tcp_recv(&one, &op, buffer, 9));
    NOTE(rill_tcp_finish_sending(&other, &send_op));
    NOTE(rill_tcp_recv(&one, &op, buffer, 9));
    NOTE(rill_tcp_finish_sending(&one, &send_op));
    hang_up_both();
}

static void reset(void)
{
    fixture_pair(&one, &other);
    NOTE(rill_tcp_send_all(&one, &send_op, "abc", 3));
    settle();
    note("reset on close", rill_socket_set_reset_on_close(one.fd, true));
    NOTE(rill_tcp_close(&one));
    settle();
    NOTE(rill_tcp_recv(&other, &op, buffer, 9));
    NOTE(rill_tcp_recv(&other, &op, buffer, 9));
    NOTE(rill_tcp_send_all(&other, &send_op, "abc", 3));
    NOTE(rill_tcp_finish_sending(&other, &send_op));
    hang_up_both();
}

static void reset_in_shared_buffers(void)
{
    fixture_pair(&one, &other);
    NOTE(rill_tcp_send_all(&one, &send_op, "abc", 3));
    NOTE(rill_tcp_recv_borrowed(&other, &borrow));
    rill_borrow_give_back(&borrow);
    NOTE(rill_tcp_send_all(&one, &send_op, "defg", 4));
    settle();
    note("reset on close", rill_socket_set_reset_on_close(one.fd, true));
    NOTE(rill_tcp_close(&one));
    settle();
    NOTE(rill_tcp_recv_borrowed(&other, &borrow));
    rill_borrow_give_back(&borrow);
    NOTE(rill_tcp_recv_borrowed(&other, &borrow));
    NOTE(rill_tcp_recv_borrowed(&other, &borrow));
    NOTE(rill_tcp_send_all(&other, &send_op, "abc", 3));
    hang_up_both();
}

static void closed_by_the_other(void)
{
    fixture_pair(&one, &other);
    NOTE(rill_tcp_close(&one));
    settle();
    NOTE(rill_tcp_recv(&other, &op, buffer, 9));
    NOTE(rill_tcp_send_all(&other, &send_op, "abc", 3));
    settle();
    NOTE(rill_tcp_send_all(&other, &send_op, "abc", 3));
    NOTE(rill_tcp_recv(&other, &op, buffer, 9));
    hang_up_both();
}

static void broken_off_in_the_middle(void)
{
    struct background task;

    fixture_pair(&one, &other);
    background_start(&task, rill_tcp_recv_exactly(&other, &op, buffer, 9));
    NOTE(rill_tcp_send_all(&one, &send_op, "abc", 3));
    settle();
    note("reset on close", rill_socket_set_reset_on_close(one.fd, true));
    NOTE(rill_tcp_close(&one));
    note("recv_exactly that was broken off", background_end(&task));
    note("transferred", (int64_t)op.transferred);
    hang_up_both();
}

static void refused(void)
{
    struct rill_listener listener = {0}, second = {0};
    static struct rill_connect connect;
    struct rill_address address;
    uint16_t port;

    port = fixture_listen(&listener, NULL);
    address = loopback(port);
    note("listen at the same port", rill_listener_open(&second, &address, NULL));
    NOTE(rill_listener_close(&listener));
    NOTE(rill_tcp_connect(&one, &connect, "127.0.0.1", port));
    NOTE(rill_tcp_connect(&one, &connect, "::1", port));
    note("listen at it again", rill_listener_open(&listener, &address, NULL));
    NOTE(rill_tcp_connect(&one, &connect, "127.0.0.1", port));
    NOTE(rill_listener_close(&listener)); /* which never accepted it */
    settle();
    NOTE(rill_tcp_recv(&one, &op, buffer, 9));
    NOTE(rill_tcp_close(&one));
}

static void options(void)
{
    fixture_pair(&one, &other);
    note("nodelay", rill_socket_set_nodelay(one.fd, true));
    note("keepalive", rill_socket_set_keepalive(one.fd, 10, 5, 3));
    note("no keepalive", rill_socket_set_keepalive(one.fd, 0, 0, 0));
    note("user timeout", rill_socket_set_user_timeout(one.fd, RILL_SECOND));
    note("no user timeout", rill_socket_set_user_timeout(one.fd, 0));
    note("buffers", rill_socket_set_buffers(one.fd, 10000, 10000));
    note("reuseport", rill_socket_set_reuseport(one.fd, true));
    note("no socket", rill_socket_set_nodelay(999, true));
    hang_up_both();
}

static void files(void)
{
    struct rill_file file = {.fd = -1}, folder = {.fd = -1};
    struct statx status = {0};
    char path[100], bytes[100] = "";

    if (fixture.sim) {
        snprintf(path, sizeof path, "%s/other", directory);
        sim_file_put(fixture.sim, path, "", 0);
    } else {
        expect(mkdtemp(directory) != NULL);
    }
    snprintf(path, sizeof path, "%s/file", directory);
    NOTE(rill_file_open(&file, path, O_RDWR, 0));
    NOTE(rill_file_open(&file, "", O_RDWR, 0));
    NOTE(rill_path_stat(&op, path, &status));
    NOTE(rill_file_open(&file, path, O_RDWR | O_CREAT | O_EXCL, 0640));
    NOTE(rill_file_write(&file, &op, "0123456789", 10));
    NOTE(rill_file_read(&file, &op, bytes, 100));
    NOTE(rill_file_read_at(&file, &op, bytes, 100, 4));
    NOTE(rill_file_read_at(&file, &op, bytes, 100, 10));
    NOTE(rill_file_read_at(&file, &op, bytes, 100, INT64_MAX));
    NOTE(rill_file_read_at(&file, &op, bytes, 100, (uint64_t)INT64_MAX + 1));
    NOTE(rill_file_write_at(&file, &op, "x", 0, 100));
    NOTE(rill_file_write_at(&file, &op, "x", 1, 19));
    NOTE(rill_file_stat(&file, &op, &status));
    note("size", (int64_t)status.stx_size);
    note("mode", status.stx_mode);
    NOTE(rill_file_sync(&file, &op, true));
    NOTE(rill_file_allocate(&file, &op, 0, 10, 0));
    NOTE(rill_file_allocate(&file, &op, 0, UINT64_MAX, 10));
    NOTE(rill_file_allocate(&file, &op, 0, 10, UINT64_MAX));
    NOTE(rill_file_allocate(&file, &op, 0, INT64_MAX, 10));
    NOTE(rill_file_allocate(&file, &op, 1 << 20, 10, 10));
    NOTE(rill_file_allocate(&file, &op, FALLOC_FL_KEEP_SIZE, 10, 1000));
    NOTE(rill_file_stat(&file, &op, &status));
    note("size", (int64_t)status.stx_size);
    NOTE(rill_file_allocate(&file, &op, 0, 10, 1000));
    NOTE(rill_file_allocate(&file, &op, 0, 10, 10));
    NOTE(rill_file_stat(&file, &op, &status));
    note("size", (int64_t)status.stx_size);
    NOTE(rill_file_close(&file));
    NOTE(rill_file_open(&file, path, O_RDONLY, 0));
    NOTE(rill_file_allocate(&file, &op, 0, 10, 10));
    NOTE(rill_file_write(&file, &op, "x", 1));
    NOTE(rill_file_close(&file));
    NOTE(rill_file_open(&file, path, O_WRONLY | O_TRUNC, 0));
    NOTE(rill_file_read(&file, &op, bytes, 1));
    NOTE(rill_file_stat(&file, &op, &status));
    note("size", (int64_t)status.stx_size);
    NOTE(rill_file_close(&file));
    NOTE(rill_file_open(&folder, directory, O_RDONLY | O_DIRECTORY, 0));
    NOTE(rill_file_read(&folder, &op, bytes, 1));
    NOTE(rill_file_close(&folder));
    NOTE(rill_file_open(&folder, path, O_RDONLY | O_DIRECTORY, 0));
    NOTE(rill_file_open(&folder, directory, O_RDWR, 0));
    if (!fixture.sim) {
        unlink(path);
        rmdir(directory);
    }
}

static void names(void)
{
    struct rill_file file = {.fd = -1};
    struct statx status = {0};
    char paths[6][100];
    const char *file_path = paths[0], *free_path = paths[1], *folder = paths[2], *inner = paths[3];
    const char *slash = paths[4], *link = paths[5];

    if (fixture.sim) {
        snprintf(paths[0], sizeof paths[0], "%s/other", directory);
        sim_file_put(fixture.sim, paths[0], "", 0);
        expect_eq(await(rill_path_unlink(&op, paths[0])), 0);
    } else {
        expect(mkdtemp(directory) != NULL);
    }
    snprintf(paths[0], sizeof paths[0], "%s/one", directory);
    snprintf(paths[1], sizeof paths[1], "%s/other", directory);
    snprintf(paths[2], sizeof paths[2], "%s/folder", directory);
    snprintf(paths[3], sizeof paths[3], "%s/folder/inner", directory);
    snprintf(paths[4], sizeof paths[4], "%s/one/", directory);
    snprintf(paths[5], sizeof paths[5], "%s/link", directory);
    NOTE(rill_path_mkdir(&op, "", 0700));
    NOTE(rill_path_mkdir(&op, inner, 0700));
    NOTE(rill_path_mkdir(&op, folder, 0700));
    NOTE(rill_path_mkdir(&op, "/", 0700));
    NOTE(rill_file_open(&file, file_path, O_CREAT | O_WRONLY, 0600));
    NOTE(rill_file_close(&file));
    NOTE(rill_path_unlink(&op, ""));
    NOTE(rill_path_unlink(&op, folder));
    NOTE(rill_path_unlink(&op, slash));
    NOTE(rill_path_rmdir(&op, file_path));
    NOTE(rill_path_mkdir(&op, slash, 0700));
    NOTE(rill_path_rename(&op, file_path, file_path, 0));
    NOTE(rill_path_rename(&op, file_path, file_path, RENAME_NOREPLACE));
    NOTE(rill_path_rename(&op, file_path, file_path, RENAME_EXCHANGE));
    NOTE(rill_path_rename(&op, file_path, free_path, RENAME_EXCHANGE));
    NOTE(rill_path_rename(&op, file_path, free_path, RENAME_EXCHANGE | RENAME_NOREPLACE));
    NOTE(rill_path_rename(&op, file_path, free_path, 1u << 20));
    NOTE(rill_path_rename(&op, file_path, folder, 0));
    NOTE(rill_path_rename(&op, folder, file_path, 0));
    NOTE(rill_path_rename(&op, folder, inner, 0));
    NOTE(rill_path_rename(&op, file_path, inner, 0));
    NOTE(rill_path_rename(&op, inner, folder, 0));
    NOTE(rill_path_rename(&op, inner, folder, RENAME_EXCHANGE));
    NOTE(rill_path_rename(&op, folder, inner, RENAME_EXCHANGE));
    NOTE(rill_path_rmdir(&op, folder));
    NOTE(rill_path_rename(&op, inner, file_path, RENAME_NOREPLACE));
    NOTE(rill_path_symlink(&op, "one", link));
    NOTE(rill_path_symlink(&op, "", free_path));
    NOTE(rill_path_symlink(&op, "one", link));
    NOTE(rill_path_link(&op, link, free_path));
    NOTE(rill_path_stat_link(&op, free_path, &status));
    note("mode", status.stx_mode);
    note("links", status.stx_nlink);
    NOTE(rill_path_stat(&op, free_path, &status));
    note("mode", status.stx_mode);
    NOTE(rill_path_rename(&op, link, free_path, 0));
    NOTE(rill_path_unlink(&op, free_path));
    NOTE(rill_path_stat_link(&op, link, &status));
    NOTE(rill_file_open(&file, link, O_RDONLY | O_NOFOLLOW, 0));
    NOTE(rill_file_open(&file, link, O_RDWR | O_CREAT | O_EXCL, 0600));
    NOTE(rill_path_unlink(&op, file_path));
    NOTE(rill_file_open(&file, link, O_RDONLY, 0));
    NOTE(rill_path_mkdir(&op, link, 0700));
    NOTE(rill_path_unlink(&op, link));
    NOTE(rill_path_rmdir(&op, folder));
    NOTE(rill_path_rmdir(&op, directory));
    NOTE(rill_path_rmdir(&op, directory));
}

static void bad_descriptors(void)
{
    struct rill_file file = {.fd = 999, .is_open = true};

    fixture.runtime->reactor.fds_open++; /* so that closing it counts down to 0 */
    NOTE(rill_file_read(&file, &op, buffer, 1));
    NOTE(rill_fd_wait(999, &op, POLLIN));
    NOTE(rill_file_close(&file));
}

static void readiness(void)
{
    fixture_pair(&one, &other);
    note("writable", await(rill_fd_wait(one.fd, &op, POLLOUT)));
    note("not readable",
         await(rill_timeout(&timeout, 5 * RILL_MILLISECOND, rill_fd_wait(one.fd, &op, POLLIN))));
    NOTE(rill_tcp_send_all(&other, &send_op, "x", 1));
    note("readable", await(rill_fd_wait(one.fd, &op, POLLIN)));
    NOTE(rill_tcp_close(&other));
    settle();
    note("both", await(rill_fd_wait(one.fd, &op, POLLIN | POLLOUT)));
    NOTE(rill_tcp_close(&one));
}

static void unix_sockets(void)
{
    static struct rill_connect connect;
    struct rill_listener listener = {0};
    struct rill_accept accept;
    struct rill_address address;
    struct rill_file file = {0};
    char path[80], text[RILL_ADDRESS_TEXT_MAX];

    if (!fixture.sim)
        ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", fixture.sim ? "" : directory);
    ck_assert_int_eq(rill_address_set_path(&address, path), 0);
    NOTE(rill_tcp_connect_address(&one, &connect, &address));
    note("listen", rill_listener_open(&listener, &address, NULL));
    note("nodelay", rill_socket_set_nodelay(listener.fd, true));
    NOTE(rill_file_open(&file, path, O_RDWR, 0));
    NOTE(rill_tcp_connect_address(&one, &connect, &address));
    note("accepted", await(rill_tcp_accept(&listener, &accept)) >= 0);
    rill_tcp_adopt(&other, (int)accept.result);
    note("own address", rill_tcp_local_address(&one, &address));
    note("without a path", *rill_address_format(&address, text) == '\0');
    note("peer address", rill_tcp_peer_address(&one, &address));
    note("the path", strcmp(rill_address_format(&address, text), path));
    NOTE(rill_tcp_send_all(&one, &send_op, "abc", 3));
    NOTE(rill_tcp_finish_sending(&one, &send_op));
    NOTE(rill_tcp_recv_exactly(&other, &op, buffer, 9));
    NOTE(rill_tcp_close(&one));
    NOTE(rill_tcp_send_all(&other, &send_op, "xyz", 3));
    NOTE(rill_tcp_close(&other));
    NOTE(rill_listener_close(&listener));
    ck_assert_int_eq(rill_address_set_path(&address, path), 0);
    NOTE(rill_tcp_connect_address(&one, &connect, &address));
    if (!fixture.sim)
        rmdir(directory);
}

static void races(void)
{
    struct rill_future *choices[2];
    struct rill_select select;
    struct rill_op second = {0};
    char byte;

    fixture_pair(&one, &other);
    NOTE(rill_tcp_send_all(&one, &send_op, "a", 1));
    settle();
    /* Both are ready: the first of them wins, and the other one keeps its result. */
    choices[0] = rill_tcp_recv(&other, &op, buffer, 1);
    choices[1] = rill_tcp_recv(&one, &second, &byte, 1);
    NOTE(rill_select(&select, choices, 2));
    note("first", op.result);
    note("second", second.result);
    NOTE(rill_tcp_send_all(&other, &send_op, "b", 1));
    NOTE(rill_tcp_recv(&one, &second, &byte, 1));
    note("timeout", await(rill_timeout(&timeout, 1, rill_tcp_recv(&one, &second, &byte, 1))));
    note("no time", await(rill_timeout(&timeout, 0, rill_tcp_recv(&one, &second, &byte, 1))));
    hang_up_both();
}

/* ---- running them ---- */

static const struct script {
    const char *name;
    void (*run)(void);
} scripts[] = {
    {"sizes of nothing", sizes_of_nothing},
    {"half close", half_close},
    {"reset", reset},
    {"reset in shared buffers", reset_in_shared_buffers},
    {"closed by the other", closed_by_the_other},
    {"broken off in the middle", broken_off_in_the_middle},
    {"refused", refused},
    {"options", options},
    {"files", files},
    {"names", names},
    {"bad descriptors", bad_descriptors},
    {"readiness", readiness},
    {"unix sockets", unix_sockets},
    {"races", races},
};

enum { SCRIPTS = sizeof scripts / sizeof *scripts };

/* Each in a process of its own: what the script keeps is as new, and a crash is a
 * note too. */
static void run_script(const struct script *script, int which, struct notes *into)
{
    int status;
    pid_t child = fork();

    notes = into;
    if (child == 0) {
        into->skipped = !fixture_open(which, NULL, NULL);
        if (!into->skipped) {
            const bool bad = script->run == bad_descriptors || script->run == options;

            script->run();
            if (bad) /* on purpose */
                rill_runtime_destroy(fixture.runtime);
            else
                fixture_close();
        }
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %#x after:\n%s",
                  script->name, status, into->text);
}

/* Prints where the two begin to differ, with what came before. */
static void compare(const struct script *script, const struct notes *simulated,
                    const struct notes *real)
{
    size_t same = 0, line = 0;

    if (strcmp(simulated->text, real->text) == 0)
        return;
    while (simulated->text[same] == real->text[same])
        if (simulated->text[same++] == '\n')
            line = same;
    ck_abort_msg("%s: after\n%.*ssimulated: %.*s\nreal:      %.*s", script->name, (int)line,
                 real->text, (int)strcspn(simulated->text + line, "\n"), simulated->text + line,
                 (int)strcspn(real->text + line, "\n"), real->text + line);
}

START_TEST(both_kernels_answer_the_same)
{
    const struct script *script = &scripts[_i];
    struct notes *both =
        mmap(NULL, 2 * sizeof *both, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(both, MAP_FAILED);
    run_script(script, SIMULATED, &both[0]);
    run_script(script, REAL, &both[1]);
    if (both[1].skipped)
        return;
    compare(script, &both[0], &both[1]);
    munmap(both, 2 * sizeof *both);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conformance");
    TCase *tcase = tcase_create("conformance");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(tcase, both_kernels_answer_the_same, 0, SCRIPTS);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
