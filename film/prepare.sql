-- A million products and a book with 300,000 reviews, for the scenes on search and on the index.
BEGIN;
-- To create this index after the rows takes a fifth of the time.
DROP INDEX ix_product_name_part;
INSERT INTO product (sku, name, price, stock_level, version, updated_at, folded)
SELECT 'M-' || n, name, 100 + n::bigint * 7919 % 20000, 0, 1, now(), lower(name)
FROM (
  SELECT n, (ARRAY['Linen','Oak','Brass','Paper','Wool','Cork','Glass','Slate'])[1 + n % 8]
    || ' ' || (ARRAY['bookmark','lamp','notebook','shelf','bookend','globe','pen'])[1 + n / 8 % 7]
    || ' "' || CASE n % 50000 WHEN 4242 THEN 'Quokka' ELSE
      (ARRAY['Heron','Maple','Comet','Harbour','Lantern','Willow'])[1 + n / 56 % 6] END
    || '", no. ' || n AS name
  FROM generate_series(1, 1000000) AS n
) AS made;
SET maintenance_work_mem = '512MB';
CREATE INDEX ix_product_name_part ON product
USING gin (folded gin_trgm_ops) WITH (fastupdate = off);
COMMIT;
INSERT INTO book (title, author, folded, title_key, author_key, version, review_count, rating_sum,
  stars_1, stars_2, stars_3, stars_4, stars_5, created_at)
VALUES ('A popular book', 'Nobody', E'a popular book\nnobody', 'a popular book', 'nobody', 1, 300000,
  900000, 60000, 60000, 60000, 60000, 60000, now());
INSERT INTO review (book_id, rating, reviewer, text, created_at)
SELECT max(book.id), 1 + n % 5, 'Reader ' || n, 'Review number ' || n || '.',
  timestamp '2020-01-01' + n * interval '1 minute'
FROM book, generate_series(1, 300000) AS n GROUP BY n;
ANALYZE;
