-- Returns {'busy'} while somebody counts the concert, else {'done'}.

return { is_counting() and 'busy' or 'done' }
