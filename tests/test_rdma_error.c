/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_error.c - every status of UCX has an errno, and none is taken for one. */
#include "rdma/error.h"

#include "tests/limit.h"

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int status, error;
} table[] = {
    {UCS_OK, 0},
    {UCS_INPROGRESS, -EINPROGRESS},
    {UCS_ERR_NO_MESSAGE, -ENOMSG},
    {UCS_ERR_NO_RESOURCE, -EAGAIN},
    {UCS_ERR_IO_ERROR, -EIO},
    {UCS_ERR_NO_MEMORY, -ENOMEM},
    {UCS_ERR_INVALID_PARAM, -EINVAL},
    {UCS_ERR_UNREACHABLE, -EHOSTUNREACH},
    {UCS_ERR_INVALID_ADDR, -EADDRNOTAVAIL},
    {UCS_ERR_NOT_IMPLEMENTED, -ENOSYS},
    {UCS_ERR_MESSAGE_TRUNCATED, -EMSGSIZE},
    {UCS_ERR_NO_PROGRESS, -EAGAIN},
    {UCS_ERR_BUFFER_TOO_SMALL, -ENOBUFS},
    {UCS_ERR_NO_ELEM, -ENOENT},
    {UCS_ERR_SOME_CONNECTS_FAILED, -ENOTCONN},
    {UCS_ERR_NO_DEVICE, -ENODEV},
    {UCS_ERR_BUSY, -EBUSY},
    {UCS_ERR_CANCELED, -ECANCELED},
    {UCS_ERR_SHMEM_SEGMENT, -ENOSPC},
    {UCS_ERR_ALREADY_EXISTS, -EEXIST},
    {UCS_ERR_OUT_OF_RANGE, -ERANGE},
    {UCS_ERR_TIMED_OUT, -ETIMEDOUT},
    {UCS_ERR_EXCEEDS_LIMIT, -EDQUOT},
    {UCS_ERR_UNSUPPORTED, -EOPNOTSUPP},
    {UCS_ERR_REJECTED, -ECONNREFUSED},
    {UCS_ERR_NOT_CONNECTED, -ENOTCONN},
    {UCS_ERR_CONNECTION_RESET, -ECONNRESET},
    {UCS_ERR_FIRST_LINK_FAILURE, -ENETDOWN},
    {UCS_ERR_LAST_LINK_FAILURE, -ENETDOWN},
    {UCS_ERR_FIRST_ENDPOINT_FAILURE, -ECONNABORTED},
    {UCS_ERR_ENDPOINT_TIMEOUT, -ETIMEDOUT},
    {UCS_ERR_LAST_ENDPOINT_FAILURE, -ECONNABORTED},
};

START_TEST(each_status_has_the_errno_that_means_the_same)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_msg(rill_rdma_errno((ucs_status_t)table[i].status) == table[i].error,
                      "status %d: want %s, got %s", table[i].status, strerror(-table[i].error),
                      strerror(-rill_rdma_errno((ucs_status_t)table[i].status)));
}
END_TEST

/* What UCX calls unknown has no meaning to translate. The numbers in its two ranges mean
 * something although they have no names. */
START_TEST(every_number_that_can_be_a_status_is_translated_and_the_unknown_ones_are_EIO)
{
    for (int number = UCS_ERR_LAST - 10; number < 0; number++) {
        ucs_status_t status = (ucs_status_t)number;
        bool is_named = strstr(ucs_status_string(status), "Unknown error") == NULL;
        int error = rill_rdma_errno(status);

        ck_assert_int_lt(error, 0);
        ck_assert_msg(strncmp(strerror(-error), "Unknown", 7) != 0, "status %d: errno %d", number,
                      -error);
        if (!is_named && !UCS_IS_LINK_ERROR(status) && !UCS_IS_ENDPOINT_ERROR(status))
            ck_assert_int_eq(error, -EIO);
        if (is_named && number != UCS_ERR_IO_ERROR)
            ck_assert_msg(error != -EIO, "status %d (%s) is not translated", number,
                          ucs_status_string(status));
    }
    ck_assert_int_eq(rill_rdma_errno((ucs_status_t)-1000), -EIO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rdma error");
    TCase *tcase = tcase_create("rdma error");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, each_status_has_the_errno_that_means_the_same);
    tcase_add_test(tcase,
                   every_number_that_can_be_a_status_is_translated_and_the_unknown_ones_are_EIO);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
