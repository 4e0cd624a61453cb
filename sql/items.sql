-- What the views read: items, and the labels that are on them. It is worked out when a database is
-- loaded and when reviewers' answers come in, so that no report has to join every tag again.

-- One row per product, or per photo that counts where there is no feed. Those listed together lie
-- together.
create or replace table all_items as
with counted_sources as (select count(distinct source) > 1 as several from runs where counted),

pictured as (
    select source, sku, count(*) as photos, min(image) as first_photo, min(dated) as dated
    from counted_photos
    where sku is not null
    group by source, sku
),

found as (
    select
        case when several then products.source || '/' else '' end || products.sku as item,
        coalesce(photos, 0) as photos,
        first_photo,
        products.* replace (
            case when dates_from = 'feed' then products.listed_at else dated end as listed_at)
    from products
    left join pictured on pictured.source = products.source and pictured.sku = products.sku
    cross join counted_sources
    cross join settings
    union all by name
    select
        case when several then source || '/' else '' end || image as item,
        1 as photos,
        image as first_photo,
        source,
        dated as listed_at
    from counted_photos
    cross join counted_sources
    where (select count(*) from products) = 0
)

select
    (row_number() over (order by listed_at nulls last, source, item) - 1)::integer as item_id,
    *
from found
order by item_id;

update images
set item_id = all_items.item_id
from all_items
where all_items.sku = images.sku
    and all_items.source = images.source
    and images.status = 'ok' and images.is_apparel is distinct from false
    and images.run_id in (select run_id from runs where counted);

update images
set item_id = all_items.item_id
from all_items
where all_items.sku is null
    and all_items.first_photo = images.image
    and all_items.source = images.source
    and images.status = 'ok' and images.is_apparel is distinct from false
    and images.run_id in (select run_id from runs where counted);

-- On how many of an item's photos a label is, their part of them, and whether that makes it the
-- item's: on one photo (`union`) or on half of them (`vote`).
create or replace table all_item_labels as
select
    tags.label,
    images.item_id,
    any_value(all_items.listed_at) as listed_at,
    count(*)::integer as photos,
    count(*) / any_value(all_items.photos) as part,
    (select labels_by from settings) = 'union'
        or 2 * count(*) >= any_value(all_items.photos) as counts
from photo_labels as tags
join images on images.image = tags.image and images.run_id = tags.run_id
join all_items on all_items.item_id = images.item_id
group by tags.label, images.item_id
order by tags.label, images.item_id;

-- Photos whose content, byte for byte, stands under several products.
create or replace table shared_photos as
with counted as (
    select content_sha256, item_id, image
    from images
    where item_id is not null and sku is not null
),

candidates as (
    select hash(content_sha256) as hashed
    from counted
    group by hashed
    having min(item_id) <> max(item_id)
)

select counted.*
from counted
semi join candidates on candidates.hashed = hash(counted.content_sha256)
qualify min(item_id) over (partition by content_sha256)
    <> max(item_id) over (partition by content_sha256);
