"""The field that turns Tryton into an ERP with external ids."""

from sql.operators import Equal
from trytond.model import Exclude, fields
from trytond.pool import PoolMeta


class _ExternalReference:
    """An identity that a connected system gives to a record.

    The constraint leaves records without a reference alone, and it holds for two transactions that run at once,
    which a check before the insert would not.
    """

    __slots__ = ()
    external_ref = fields.Char(
        "External Reference",
        help="The identity that the connected system gave to this record. Unique in its company.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append((
                'external_ref_unique',
                Exclude(
                    table, (table.company, Equal), (table.external_ref, Equal),
                    where=table.external_ref != None),  # noqa: E711 - builds SQL
                'psa_erp_reference.msg_external_ref_unique'))

    @classmethod
    def copy(cls, records, default=None):
        default = {} if default is None else default.copy()
        default.setdefault('external_ref')
        return super().copy(records, default=default)


class InvoiceLine(_ExternalReference, metaclass=PoolMeta):
    __name__ = 'account.invoice.line'


class Move(_ExternalReference, metaclass=PoolMeta):
    __name__ = 'account.move'
