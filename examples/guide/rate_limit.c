/* SPDX-License-Identifier: Apache-2.0 */
/* rate_limit.c - a mailer may send two letters at once, and one each 100 ms after that. */
#include "runtime/rate_limit.h"
#include "io/program.h"
#include "runtime/executor.h"

#include <stdio.h>

struct mailer {
    struct rill_future future;
    struct rill_rate_limit limit;
    struct rill_rate_limit_take take;
    int64_t begin_ns;
    int letter;
};

static enum rill_poll mailer_poll(struct rill_future *self, struct rill_task *task)
{
    struct mailer *mailer = rill_container_of(self, struct mailer, future);

    RILL_BEGIN();
    rill_rate_limit_init(&mailer->limit, 10, RILL_SECOND, 2);
    mailer->begin_ns = rill_now();
    for (mailer->letter = 1; mailer->letter <= 5; mailer->letter++) {
        RILL_AWAIT(rill_rate_limit_take(&mailer->limit, &mailer->take, 1));
        if (mailer->take.result < 0)
            RILL_RETURN(mailer->take.result);
        printf("letter %d, %d intervals of 100 ms later\n", mailer->letter,
               (int)((rill_now() - mailer->begin_ns) / (100 * RILL_MILLISECOND)));
    }
    printf("one more at once: %s\n", rill_rate_limit_try_take(&mailer->limit, 1) ? "yes" : "no");
    rill_rate_limit_finish(&mailer->limit);
    RILL_END();
}

int main(void)
{
    static struct mailer mailer;

    return rill_main(rill_future_init(&mailer.future, mailer_poll));
}
