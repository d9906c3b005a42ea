#ifndef STORE_SET_H
#define STORE_SET_H

/* Presence is reconciled before data and apart from it. Named by the caller when an entry is
 * created: the store does not parse keys. The numbers are those of the wire. */
enum table_set { TABLE_MEMBERS, TABLE_DATA, TABLE_SET_COUNT };

#endif /* STORE_SET_H */
