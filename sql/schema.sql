-- The tables of a catalogue. Plain types, so that any tool that reads DuckDB reads them.
-- Times are UTC. docs/warehouse.md describes each column.

create table settings (
    schema_version integer not null,
    labels_by varchar not null,
    dates_from varchar not null,
    models_mixed boolean not null,
    taxonomy varchar,
    given varchar not null
);

create table runs (
    run_id varchar not null,
    source varchar not null,
    location varchar not null,
    model_id varchar not null,
    fftag_version varchar not null,
    settings varchar not null,
    screen_method varchar,
    screen_review double,
    screen_reject double,
    files bigint not null,
    tagged bigint not null,
    failed bigint not null,
    first_tagged_at timestamp,
    last_tagged_at timestamp,
    loaded_at timestamp not null,
    counted boolean not null
);

create table labels (
    position integer not null,
    "group" varchar not null,
    label varchar not null,
    kind varchar not null,
    parent varchar,
    threshold float,
    tp bigint,
    fp bigint,
    fn bigint,
    tn bigint,
    sensitivity double,
    specificity double
);

create table model_labels (
    model_id varchar not null,
    position integer not null,
    model_group varchar not null,
    name varchar not null,
    "group" varchar not null,
    label varchar not null,
    threshold float not null,
    tp bigint,
    fp bigint,
    fn bigint,
    tn bigint
);

create table label_names (
    label varchar not null,
    "group" varchar,
    name varchar not null,
    language varchar
);

create table feeds (
    source varchar not null,
    location varchar not null,
    sku_pattern varchar
);

create table products (
    source varchar not null,
    sku varchar not null,
    brand varchar,
    category varchar,
    price double,
    currency varchar,
    listed_at date
);

create table product_photos (
    source varchar not null,
    image varchar not null,
    sku varchar not null
);

create table images (
    image varchar not null,
    source varchar not null,
    sku varchar,
    status varchar not null,
    error varchar,
    is_apparel boolean,
    apparel_score float,
    width integer,
    height integer,
    format varchar,
    file_size bigint,
    modified_at timestamp,
    taken_at timestamp,
    dated date,
    content_sha256 varchar,
    model_id varchar not null,
    run_id varchar not null,
    tagged_at timestamp not null,
    first_seen timestamp,
    tag_count integer,
    item_id integer,
    scores float[]
);

create table gone_photos (
    content_sha256 varchar not null,
    image varchar not null,
    source varchar not null,
    sku varchar,
    first_seen timestamp not null,
    last_seen timestamp not null
);

create table seen_products (
    source varchar not null,
    sku varchar not null,
    first_seen timestamp not null,
    last_seen timestamp not null,
    is_there boolean not null
);

create table tags (
    image varchar not null,
    "group" varchar not null,
    label varchar not null,
    score float not null,
    run_id varchar not null
);

create table all_item_labels (
    "group" varchar not null,
    label varchar not null,
    item_id integer not null,
    listed_at date,
    photos integer not null,
    part double not null,
    counts boolean not null
);

create table corrections (
    content_sha256 varchar,
    "group" varchar not null,
    label varchar not null,
    verdict varchar not null,
    reviewed_at timestamp,
    reviewer varchar,
    image varchar not null,
    source varchar not null,
    sku varchar
);

create table reviewed (
    content_sha256 varchar not null,
    "group" varchar not null,
    label varchar not null,
    shown boolean not null,
    image varchar not null,
    run_id varchar not null
);
