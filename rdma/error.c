/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/error.h"

#include <errno.h>

int rill_rdma_errno(ucs_status_t status)
{
    switch ((int)status) {
    case UCS_OK:
        return 0;
    case UCS_INPROGRESS:
        return -EINPROGRESS;
    case UCS_ERR_NO_MESSAGE:
        return -ENOMSG;
    case UCS_ERR_NO_RESOURCE:
        return -EAGAIN;
    case UCS_ERR_IO_ERROR:
        return -EIO;
    case UCS_ERR_NO_MEMORY:
        return -ENOMEM;
    case UCS_ERR_INVALID_PARAM:
        return -EINVAL;
    case UCS_ERR_UNREACHABLE:
        return -EHOSTUNREACH;
    case UCS_ERR_INVALID_ADDR:
        return -EADDRNOTAVAIL;
    case UCS_ERR_NOT_IMPLEMENTED:
        return -ENOSYS;
    case UCS_ERR_MESSAGE_TRUNCATED:
        return -EMSGSIZE;
    case UCS_ERR_NO_PROGRESS:
        return -EAGAIN;
    case UCS_ERR_BUFFER_TOO_SMALL:
        return -ENOBUFS;
    case UCS_ERR_NO_ELEM:
        return -ENOENT;
    case UCS_ERR_SOME_CONNECTS_FAILED:
        return -ENOTCONN;
    case UCS_ERR_NO_DEVICE:
        return -ENODEV;
    case UCS_ERR_BUSY:
        return -EBUSY;
    case UCS_ERR_CANCELED:
        return -ECANCELED;
    case UCS_ERR_SHMEM_SEGMENT:
        return -ENOSPC;
    case UCS_ERR_ALREADY_EXISTS:
        return -EEXIST;
    case UCS_ERR_OUT_OF_RANGE:
        return -ERANGE;
    case UCS_ERR_TIMED_OUT:
        return -ETIMEDOUT;
    case UCS_ERR_EXCEEDS_LIMIT:
        return -EDQUOT;
    case UCS_ERR_UNSUPPORTED:
        return -EOPNOTSUPP;
    case UCS_ERR_REJECTED:
        return -ECONNREFUSED;
    case UCS_ERR_NOT_CONNECTED:
        return -ENOTCONN;
    case UCS_ERR_CONNECTION_RESET:
        return -ECONNRESET;
    case UCS_ERR_ENDPOINT_TIMEOUT:
        return -ETIMEDOUT;
    default:
        break;
    }
    if (UCS_IS_LINK_ERROR(status))
        return -ENETDOWN;
    if (UCS_IS_ENDPOINT_ERROR(status))
        return -ECONNABORTED;
    return -EIO;
}
