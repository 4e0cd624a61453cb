-- What is counted: products where a feed was loaded, photos otherwise. Photos that could not be
-- read, and photos that the screen says show no apparel, are in neither.

create view item_photos as
with feed as (select count(*) > 0 as loaded from products)
select
    images.image,
    case when feed.loaded then products.sku else images.image end as item,
    products.brand,
    products.category,
    products.price,
    products.currency,
    products.listed_at
from images
cross join feed
left join products on products.sku = images.sku
where images.status = 'ok'
    and images.is_apparel is distinct from false
    and (products.sku is not null or not feed.loaded);

create view items as
select
    item,
    any_value(brand) as brand,
    any_value(category) as category,
    any_value(price) as price,
    any_value(currency) as currency,
    any_value(listed_at) as listed_at,
    count(*) as photos
from item_photos
group by item;

-- An item has the labels of all its photos together.
create view item_labels as
select distinct item_photos.item, tags.label
from tags
join item_photos on item_photos.image = tags.image;

create view items_by_month as
select date_trunc('month', listed_at)::date as month, count(*) as items
from items
where listed_at is not null
group by all;

create view item_labels_by_month as
select label, date_trunc('month', listed_at)::date as month, count(*) as items
from item_labels
join items on items.item = item_labels.item
where listed_at is not null
group by all;

-- What the counts rest on, and what was left out of them; one row.
create view basis as
select
    case when (select count(*) from products) > 0 then 'products' else 'photos' end as counted,
    (select count(*) from items) as items,
    (select count(*) from items where listed_at is not null) as items_with_date,
    (select count(*) from item_photos) as photos,
    count(*) filter (status <> 'ok') as failed,
    count(*) filter (status = 'ok' and not is_apparel) as without_apparel,
    count(*) filter (status = 'ok' and is_apparel is distinct from false)
        - (select count(*) from item_photos) as without_product,
    (select count(*) from products anti join item_photos on item_photos.item = products.sku)
        as products_without_photo,
    (select any_value(model_id) from runs) as model_id,
    max(tagged_at) as tagged_at
from images;
