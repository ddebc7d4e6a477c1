/* demo: what the acts share, and who may stop the pool. Called by main, start and interrupt. */
#include "demo.h"

void demo_take_pool(demo *d, mu_pool *pool)
{
    pthread_mutex_lock(&d->stopping);
    d->pool = pool;
    pthread_mutex_unlock(&d->stopping);
}

void demo_end_pool(demo *d)
{
    pthread_mutex_lock(&d->stopping);
    mu_pool_free(&d->pool);
    pthread_mutex_unlock(&d->stopping);
}

void demo_break_off(void *demo_)
{
    demo *d = demo_;

    pthread_mutex_lock(&d->stopping);
    if (d->pool)
        mu_pool_stop(d->pool);
    pthread_mutex_unlock(&d->stopping);
}
